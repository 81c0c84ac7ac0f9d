//! SCRAM against the RFC's own examples, and against clients that lie.

use super::*;
use crate::credentials::Credentials;
use crate::cx::Entropy;
use crate::stream::tests::{Client, Dice};

struct Zero;

impl Entropy for Zero {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

/// The keys of `pencil` with a given salt and 4,096 iterations.
fn keys(hash: ScramHash, salt: &str) -> ScramKeys {
    struct Salt(Vec<u8>);
    impl Entropy for Salt {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.copy_from_slice(&self.0);
        }
    }
    let mut salt = base64::decode(salt).unwrap();
    salt.resize(crate::credentials::SALT_BYTES, 0);
    Credentials::derive("pencil", 4096, &mut Salt(salt)).unwrap().keys(hash).clone()
}

fn bindings() -> ChannelBindings {
    ChannelBindings(vec![
        ("tls-exporter", b"exported keying material".to_vec()),
        ("tls-server-end-point", b"hash of the certificate".to_vec()),
    ])
}

/// Runs a whole exchange; `tamper` sees `client-final-message` before it is sent.
fn run(
    client: &Client,
    is_plus: bool,
    offered: &ChannelBindings,
    tamper: impl Fn(String) -> String,
) -> Result<(), Failure> {
    let first = ClientFirst::parse(client.first().as_bytes())?;
    let binding = first.check_binding(is_plus, offered)?;
    let keys = Credentials::derive("pencil", 7, &mut Zero).unwrap().keys(client.hash).clone();
    let (exchange, server_first) =
        Exchange::begin(client.hash, &first, binding, keys, "3rfcNHY", None);
    let (last, want) = client.last(&server_first);
    assert_eq!(exchange.finish(tamper(last).as_bytes())?, want);
    Ok(())
}

#[test]
fn rfc5802_section_5() {
    // The salt of the example is shorter than ours, so its keys are given as such.
    let keys = ScramKeys {
        salt: base64::decode("QSXCR+Q6sek8bf92").unwrap(),
        iterations: 4096,
        stored_key: base64::decode("6dlGYMOdZcOPutkcNY8U2g7vK9Y=").unwrap(),
        server_key: base64::decode("D+CSWLOshSulAsxiupA+qs2/fTE=").unwrap(),
    };
    let first = ClientFirst::parse(b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL").unwrap();
    assert_eq!((first.username.as_str(), &first.authzid), ("user", &None));
    assert_eq!(first.check_binding(false, &ChannelBindings::default()), Ok(&[][..]));
    let (exchange, server_first) =
        Exchange::begin(ScramHash::Sha1, &first, &[], keys, "3rfcNHYJY1ZVvWVs7j", None);
    assert_eq!(
        server_first,
        "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
    );
    let last = "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,\
                p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
    assert_eq!(exchange.finish(last.as_bytes()).unwrap(), "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
}

#[test]
fn xep0474_section_6_3() {
    let salt = base64::decode("QSXCR+Q6sek8bf92").unwrap();
    let derive = |count| {
        let mut salted = vec![0; 20];
        let algorithm = ring::pbkdf2::PBKDF2_HMAC_SHA1;
        ring::pbkdf2::derive(algorithm, count, &salt, b"pencil", &mut salted);
        let key = |name: &[u8]| ScramHash::Sha1.hmac(&salted, name);
        (ScramHash::Sha1.digest(&key(b"Client Key")), key(b"Server Key"))
    };
    let (stored_key, server_key) = derive(4096.try_into().unwrap());
    let keys = ScramKeys { salt, iterations: 4096, stored_key, server_key };
    let first = "p=tls-exporter,,n=user,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6";
    let first = ClientFirst::parse(first.as_bytes()).unwrap();
    let announced = "SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS\x1ftls-exporter\x1etls-server-end-point";
    let nonce = "a09117a6-ac50-4f2f-93f1-93799c2bddf6";
    let binding = b"THIS IS FAKE CB DATA";
    let begin = |announced| {
        Exchange::begin(ScramHash::Sha1, &first, binding, keys.clone(), nonce, announced)
    };
    let (exchange, server_first) = begin(Some(announced));
    assert_eq!(
        server_first,
        "r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,\
         s=QSXCR+Q6sek8bf92,i=4096,h=G6k/rBLDqgOhRRaCuuatSDFkJ08="
    );
    let last = "c=cD10bHMtZXhwb3J0ZXIsLFRISVMgSVMgRkFLRSBDQiBEQVRB,\
                r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,\
                x=19C6532F-1CF4-4A27-A18D-DC9CEA41BBB3,p=M/SIDjT+dfcxUh89jZEypRvFxB4=";
    assert_eq!(exchange.finish(last.as_bytes()).unwrap(), "v=MQrMPvv7yv4x4Cq4W4Ih25EqS2c=");
    // Somebody between has put in another list, or has taken the hash away.
    for other in [Some("SCRAM-SHA-1"), None] {
        assert!(begin(other).0.finish(last.as_bytes()).is_err());
    }
}

#[test]
fn rfc7677_section_3() {
    let keys = keys(ScramHash::Sha256, "W22ZaJ0SNY7soEsUEjb6gQ==");
    let first = ClientFirst::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
    let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let (exchange, server_first) =
        Exchange::begin(ScramHash::Sha256, &first, &[], keys, nonce, None);
    assert_eq!(
        server_first,
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert_eq!(
        exchange.finish(last.as_bytes()).unwrap(),
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    );
}

#[test]
fn logs_in_with_and_without_binding() {
    for hash in [ScramHash::Sha1, ScramHash::Sha256] {
        let client = || Client::new(hash, "alice", "pencil");
        let keep = |last| last;
        assert_eq!(run(&client(), false, &bindings(), keep), Ok(()));
        let unaware = client().bound("y,,", b"");
        assert_eq!(run(&unaware, false, &ChannelBindings::default(), keep), Ok(()));
        for (kind, data) in bindings().0 {
            let client = client().bound(&format!("p={kind},,"), &data);
            assert_eq!(run(&client, true, &bindings(), keep), Ok(()));
        }
    }
}

#[test]
fn downgrades_and_wrong_bindings_are_refused() {
    let check = |gs2: &str, data: &[u8], is_plus, offered: &ChannelBindings, want: Failure| {
        let client = Client::new(ScramHash::Sha256, "alice", "pencil").bound(gs2, data);
        assert_eq!(run(&client, is_plus, offered, |last| last), Err(want), "{gs2}");
    };
    let none = ChannelBindings::default();
    let only_exporter = ChannelBindings(bindings().0[..1].to_vec());
    let exported = b"exported keying material";
    let not_plus = malformed("channel-binding-not-supported");
    let unknown = refused("unsupported-channel-binding-type");
    let mismatch = refused("channel-bindings-dont-match");
    // RFC 5802 §6: the client has not seen the -PLUS mechanisms that we offered.
    check("y,,", b"", false, &bindings(), refused("server-does-support-channel-binding"));
    check("y,,", b"", true, &bindings(), Condition::MalformedRequest.into());
    check("n,,", b"", true, &bindings(), Condition::MalformedRequest.into());
    check("p=tls-exporter,,", exported, false, &bindings(), not_plus);
    check("p=tls-exporter,,", exported, false, &none, not_plus);
    check("p=tls-unique,,", exported, true, &bindings(), unknown);
    check("p=tls-server-end-point,,", b"", true, &only_exporter, unknown);
    check("p=tls-exporter,,", b"exported keying materiaL", true, &bindings(), mismatch);
    check("p=tls-exporter,,", b"exported keying materia", true, &bindings(), mismatch);
    check("p=tls-exporter,,", b"hash of the certificate", true, &bindings(), mismatch);
    check("p=tls-exporter,,", b"", true, &bindings(), mismatch);
    check("n,,", exported, false, &bindings(), mismatch);
}

#[test]
fn wrong_finals_are_refused() {
    let check = |from: &str, to: &str, want: Failure| {
        let client = Client::new(ScramHash::Sha1, "alice", "pencil");
        let got = run(&client, false, &ChannelBindings::default(), |last| {
            assert!(last.contains(from), "{last}");
            last.replacen(from, to, 1)
        });
        assert_eq!(got, Err(want), "{from} -> {to}");
    };
    let wrong = Failure::from(Condition::NotAuthorized);
    let broken = Failure::from(Condition::MalformedRequest);
    let encoding = malformed("invalid-encoding");
    // A proof over another header, nonce, or with an extension put in by somebody else.
    check("c=biws", "c=eSws", refused("channel-bindings-dont-match"));
    check("3rfcNHY,p=", "3rfcNHX,p=", wrong);
    check("3rfcNHY,p=", ",p=", wrong);
    check("3rfcNHY,p=", "3rfcNHY,x=1,p=", wrong);
    check(",p=", ",p=AAAA", wrong);
    check("3rfcNHY,p=", "3rfcNHY,m=1,p=", malformed("extensions-not-supported"));
    check("3rfcNHY,p=", "3rfcNHY,1=x,p=", broken);
    check("3rfcNHY,p=", "3rfcNHY,x=,p=", broken);
    check("3rfcNHY,p=", "3rfcNHY,,p=", broken);
    check(",p=", ",q=", broken);
    check(",p=", ",p=!", encoding);
    check("c=biws", "c=biw", encoding);
    check("c=biws", "c=biws\0", encoding);
    check("c=biws,", "", broken);
    check("c=biws", "b=biws", broken);
    let client = Client::new(ScramHash::Sha1, "alice", "wrong");
    assert_eq!(run(&client, false, &bindings(), |last| last), Err(wrong));
    // Well signed, but not the nonce that was agreed.
    let last_nonce = Some(format!("{}3rfcNHX", client.nonce));
    let client = Client { last_nonce, ..Client::new(ScramHash::Sha1, "alice", "pencil") };
    assert_eq!(run(&client, false, &bindings(), |last| last), Err(wrong));
    let exact = |last: String| last.split_once(",p=").map(|(l, _)| format!("{l},p=")).unwrap();
    let client = Client::new(ScramHash::Sha1, "alice", "pencil");
    assert_eq!(run(&client, false, &bindings(), exact), Err(wrong));
}

#[test]
fn client_first_grammar() {
    let check = |text: &[u8], want: Result<(Option<&str>, &str), Failure>| {
        let got = ClientFirst::parse(text);
        let got = got.as_ref().map(|f| (f.authzid.as_deref(), f.username.as_str()));
        assert_eq!(got.map_err(|failure| *failure), want, "{}", String::from_utf8_lossy(text));
    };
    let broken = Err(Condition::MalformedRequest.into());
    check(b"n,,n=a,r=b", Ok((None, "a")));
    check(b"y,a=z@x,n=a,r=b", Ok((Some("z@x"), "a")));
    check(b"p=tls-exporter,,n=a,r=b,x=ext", Ok((None, "a")));
    check("n,,n=jürgen,r=b".as_bytes(), Ok((None, "jürgen")));
    check(b"n,,n=a=2Cb=3Dc=3D2C,r=b", Ok((None, "a,b=c=2C")));
    for bad in ["n=a=2c,r=b", "n=a=,r=b", "n==,r=b", "n=a=4,r=b"] {
        let text = format!("n,,{bad}");
        check(text.as_bytes(), Err(malformed("invalid-username-encoding")));
    }
    let extension = Err(malformed("extensions-not-supported"));
    check(b"n,,m=x,n=a,r=b", extension);
    check(b"n,,n=a,r=b,m=x", extension);
    check(b"n,,n=a\0,r=b", Err(malformed("invalid-encoding")));
    check(b"n,,n=a\xff,r=b", Err(malformed("invalid-encoding")));
    let bad = [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=a",
        "n,,n=a,",
        "n,,n=a,r=",
        "n,,n=,r=b",
        "n,,r=b,n=a",
        "n,,n=a,r=b,",
        "n,,n=a,r=b,x",
        "n,,n=a,r=b,xy=z",
        "n,,n=a,r=b c",
        "n,,n=a,r=é",
        "x,,n=a,r=b",
        "N,,n=a,r=b",
        "p,,n=a,r=b",
        "p=,,n=a,r=b",
        "p=a b,,n=a,r=b",
        "n,a=,n=a,r=b",
        "n,b=c,n=a,r=b",
        "n,n=a,r=b",
        " n,,n=a,r=b",
        "n,,a,r=b",
    ];
    for text in bad {
        check(text.as_bytes(), broken);
    }
}

#[test]
fn no_input_panics() {
    let mut dice = Dice(0x5eed);
    let client = Client::new(ScramHash::Sha256, "al=2Cice", "pencil")
        .bound("p=tls-exporter,a=alice@localhost,", b"exported keying material");
    let first = ClientFirst::parse(client.first().as_bytes()).unwrap();
    let bindings = bindings();
    let binding = first.check_binding(true, &bindings).unwrap();
    let keys = Credentials::derive("pencil", 1, &mut Zero).unwrap().sha256;
    let (exchange, server_first) =
        Exchange::begin(ScramHash::Sha256, &first, binding, keys, "nonce", None);
    let (last, _) = client.last(&server_first);
    assert!(exchange.finish(last.as_bytes()).is_ok());
    for _ in 0..20_000 {
        let message = dice.mangle(client.first().as_bytes());
        if let Ok(first) = ClientFirst::parse(&message) {
            assert!(!first.username.is_empty() && !first.nonce.is_empty());
            assert_eq!(format!("{}{}", first.gs2_header, first.bare).as_bytes(), message);
            let _ = first.check_binding(dice.roll(2) == 0, &bindings);
        }
        let message = dice.mangle(last.as_bytes());
        assert_eq!(exchange.finish(&message).is_ok(), message == last.as_bytes());
    }
}
