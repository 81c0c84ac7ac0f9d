//! Certificates of the servers, of one authority: made once.

use std::sync::OnceLock;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tercet::certs::trust::Trust;

struct Made {
    authority: String,
    leaves: Vec<Vec<u8>>,
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = params.self_signed(&key).expect("a certificate").pem();
        let issuer = Issuer::new(params, key);
        let leaf = |domain: &str| {
            let names = vec![domain.to_owned(), format!("conference.{domain}")];
            let params = CertificateParams::new(names).expect("names");
            let key = KeyPair::generate().expect("a key");
            params.signed_by(&key, &issuer).expect("a certificate").der().to_vec()
        };
        let leaves = ["a.example", "b.example", "c.example"].map(leaf).into();
        Made { authority, leaves }
    })
}

/// The authority.
pub fn trust() -> Result<Trust, String> {
    Trust::from_pem(&made().authority)
}

/// What the server of this number shows.
pub fn chain(at: usize) -> Vec<Vec<u8>> {
    vec![made().leaves[at].clone()]
}
