//! A certificate authority for one broker: ECDSA on P-256, which microcontrollers' TLS stacks know. Leaves out: revocation
//! lists (mosquitto refuses everybody once one has run out); a device is shut out by the access rules instead.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use zeroize::Zeroizing;

/// Days of the CA's own certificate, and of the broker's and nodes'.
pub(super) const YEARS_TEN: u32 = 3_650;

/// Who a certificate is for.
pub(super) enum Role<'a> {
    /// The broker, under these names or addresses.
    Broker(&'a [String]),
    /// A node or a device, under this common name.
    Client(&'a str),
}

/// A new certificate and its key, PEM.
pub(super) struct Made {
    pub(super) certificate: String,
    pub(super) key: Zeroizing<String>,
}

/// The authority.
pub(super) struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    /// A new one, named after the broker's first host.
    pub(super) fn create(hosts: &[String]) -> anyhow::Result<Self> {
        let mut params = parameters(&[], &format!("Plumbline broker CA, {}", hosts.join(" ")), YEARS_TEN)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().context("make a key")?;
        let pem = params.self_signed(&key).context("sign the CA's certificate")?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    /// The one of an earlier run.
    pub(super) fn load(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let pem = std::fs::read_to_string(certificate)
            .with_context(|| format!("read {}; `oracle-node broker init` makes it", certificate.display()))?;
        let secret = crate::keys::read_private(key)?;
        let pair = KeyPair::from_pem(&secret).with_context(|| format!("in {}", key.display()))?;
        let issuer = Issuer::from_ca_cert_pem(&pem, pair).with_context(|| format!("in {}", certificate.display()))?;
        Ok(Self { pem, issuer })
    }

    pub(super) fn certificate(&self) -> String {
        self.pem.clone()
    }

    pub(super) fn key(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    /// A certificate with a key of its own.
    pub(super) fn sign(&self, role: &Role<'_>, days: u32) -> anyhow::Result<Made> {
        let params = match role {
            Role::Broker(hosts) => {
                let name = hosts.first().map_or("broker", String::as_str);
                leaf(parameters(hosts, name, days)?, ExtendedKeyUsagePurpose::ServerAuth)
            }
            Role::Client(name) => leaf(parameters(&[], name, days)?, ExtendedKeyUsagePurpose::ClientAuth),
        };
        let key = KeyPair::generate().context("make a key")?;
        let certificate = params.signed_by(&key, &self.issuer).context("sign a certificate")?.pem();
        Ok(Made { certificate, key: Zeroizing::new(key.serialize_pem()) })
    }

    /// A client certificate for the key of a request, under `name`: what the request says of itself is not taken over.
    pub(super) fn sign_request(&self, request: &str, name: &str, days: u32) -> anyhow::Result<String> {
        let mut request = CertificateSigningRequestParams::from_pem(request).context("no certificate request (PEM)")?;
        request.params = leaf(parameters(&[], name, days)?, ExtendedKeyUsagePurpose::ClientAuth);
        Ok(request.signed_by(&self.issuer).context("sign the request")?.pem())
    }
}

fn leaf(mut params: CertificateParams, purpose: ExtendedKeyUsagePurpose) -> CertificateParams {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    params
}

/// Good from an hour ago, for clocks that are behind.
fn parameters(hosts: &[String], name: &str, days: u32) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(hosts.to_vec()).context("a host name that no certificate can hold")?;
    let mut who = DistinguishedName::new();
    who.push(DnType::CommonName, name);
    params.distinguished_name = who;
    let now = SystemTime::now();
    params.not_before = (now - Duration::from_secs(3_600)).into();
    params.not_after = (now + Duration::from_secs(86_400 * u64::from(days))).into();
    Ok(params)
}
