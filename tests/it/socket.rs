//! The drivers over sockets: the built binary, TCP, and TLS where the script or the manner of
//! login asks for it. Waiting is for events, never for time alone.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

use tercet::ids::Door;

use crate::driver::{Driver, Event, Link, PATIENCE_MS};
use crate::process::Process;
use crate::setup::Setup;

struct Wire {
    /// `None`: cut.
    stream: Option<TcpStream>,
    tls: Option<ClientConnection>,
    /// The server has said `close_notify`.
    is_notified: bool,
    /// Bytes for the server, in the clear or as TLS records.
    out: Vec<u8>,
    /// Our direction ends after `out`.
    ends: bool,
    /// Both directions are over.
    is_over: bool,
}

pub struct Sockets {
    pub setup: Setup,
    pub process: Process,
    poll: Poll,
    wires: Vec<Wire>,
    events: VecDeque<Event>,
    deadline: Instant,
    tls_config: Arc<ClientConfig>,
}

impl Sockets {
    pub fn new(setup: Setup) -> Result<Self, String> {
        let process = Process::start(&setup)?;
        Ok(Self {
            setup,
            process,
            poll: Poll::new().map_err(|e| e.to_string())?,
            wires: Vec::new(),
            events: VecDeque::new(),
            deadline: Instant::now(),
            tls_config: tls_config()?,
        })
    }

    /// The client reads no more; what comes waits in the kernel, and then at the server.
    pub fn stop_reading(&mut self, link: Link) {
        if let Some(stream) = &mut self.wires[link].stream {
            self.poll.registry().deregister(stream).expect("it is registered");
        }
    }

    /// The client reads again.
    pub fn read_again(&mut self, link: Link) {
        if let Some(stream) = &mut self.wires[link].stream {
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(stream, Token(link), interest).expect("it was before");
        }
    }

    /// True when the server has ended TLS with `close_notify`.
    pub fn is_notified(&self, link: Link) -> bool {
        self.wires[link].is_notified
    }

    /// The certificate that the server has shown.
    pub fn certificate(&self, link: Link) -> Option<Vec<u8>> {
        let chain = self.wires[link].tls.as_ref()?.peer_certificates()?;
        Some(chain.first()?.to_vec())
    }

    fn service(&mut self, link: Link) {
        let wire = &mut self.wires[link];
        if wire.is_over {
            return;
        }
        let mut bytes = Vec::new();
        let is_over = wire.read(&mut bytes);
        wire.write();
        if !bytes.is_empty() {
            self.events.push_back(Event::Bytes(link, bytes));
        }
        if is_over {
            wire.is_over = true;
            self.events.push_back(Event::End(link));
        }
    }
}

impl Wire {
    /// Reads what is there; true when the server has ended its direction.
    fn read(&mut self, plain: &mut Vec<u8>) -> bool {
        let Some(stream) = &mut self.stream else { return true };
        let mut buffer = [0; 16_384];
        loop {
            let mut input = match stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(count) => &buffer[..count],
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return true,
            };
            let Some(tls) = &mut self.tls else {
                plain.extend_from_slice(input);
                continue;
            };
            while !input.is_empty() {
                let state = tls.read_tls(&mut input).map(|_| tls.process_new_packets());
                let is_fine = matches!(state, Ok(Ok(_)));
                self.is_notified |= matches!(state, Ok(Ok(state)) if state.peer_has_closed());
                // `Ok(0)` or `WouldBlock` only say that there is no more plaintext now.
                let _ = tls.reader().read_to_end(plain);
                if !is_fine {
                    return true;
                }
            }
        }
    }

    fn write(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                if tls.write_tls(&mut self.out).is_err() {
                    break;
                }
            }
        }
        while !self.out.is_empty() {
            match stream.write(&self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
        if self.ends {
            // The peer may have ended everything already.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}

impl Driver for Sockets {
    fn open(&mut self, door: Door) -> Result<Link, String> {
        let stream = std::net::TcpStream::connect(self.process.address_of(door));
        let stream = stream.map_err(|e| format!("connect: {e}"))?;
        stream.set_nonblocking(true).map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let mut stream = TcpStream::from_std(stream);
        let link = self.wires.len();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self.poll.registry().register(&mut stream, Token(link), interest);
        registered.map_err(|e| e.to_string())?;
        self.wires.push(Wire {
            stream: Some(stream),
            tls: None,
            is_notified: false,
            out: Vec::new(),
            ends: false,
            is_over: false,
        });
        Ok(link)
    }

    fn write(&mut self, link: Link, bytes: &[u8]) {
        let wire = &mut self.wires[link];
        match &mut wire.tls {
            Some(tls) => {
                // It never fails: the buffer has no limit.
                let _ = tls.writer().write_all(bytes);
            }
            None => wire.out.extend_from_slice(bytes),
        }
        wire.write();
    }

    fn start_tls(&mut self, link: Link) -> Result<(), String> {
        let name = ServerName::try_from("localhost").map_err(|e| e.to_string())?;
        let tls = ClientConnection::new(self.tls_config.clone(), name);
        let mut tls = tls.map_err(|e| e.to_string())?;
        tls.set_buffer_limit(None);
        self.wires[link].tls = Some(tls);
        self.wires[link].write();
        Ok(())
    }

    fn close(&mut self, link: Link) {
        let wire = &mut self.wires[link];
        if let Some(tls) = &mut wire.tls {
            tls.send_close_notify();
        }
        wire.ends = true;
        wire.write();
    }

    fn cut(&mut self, link: Link) {
        let wire = &mut self.wires[link];
        wire.is_over = true;
        if let Some(stream) = wire.stream.take() {
            // A reset, not an orderly end: nothing that is still unread or unsent survives it.
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    }

    fn begin_wait(&mut self) {
        self.deadline = Instant::now() + Duration::from_millis(PATIENCE_MS);
    }

    fn wait(&mut self) -> Result<Option<Event>, String> {
        let mut events = Events::with_capacity(64);
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.wires.iter().all(|wire| wire.is_over) {
                return Ok(None);
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            match self.poll.poll(&mut events, Some(left)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => result.map_err(|e| e.to_string())?,
            }
            let links: Vec<Link> = events.iter().map(|event| event.token().0).collect();
            links.into_iter().for_each(|link| self.service(link));
        }
    }

    fn pass_time(&mut self, _: u64) {
        unreachable!("scripts with a fake clock are not played over sockets");
    }

    fn shut_down(&mut self) {
        self.process.terminate();
    }

    fn exit_code(&mut self) -> Result<i32, String> {
        self.process.exit_code()
    }

    fn restart(&mut self) -> Result<(), String> {
        self.process = Process::start(&self.setup)?;
        Ok(())
    }
}

/// TLS that takes any certificate: the test server makes its own.
fn tls_config() -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
