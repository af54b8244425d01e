//! TLS towards a broker: whom to trust, and who we are. One private CA and, where the broker asks for it, a client
//! certificate. Leaves out: making certificates (`oracle-node broker`) and the system's CAs, which have no say here.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// A TLS identity; cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(…)")
    }
}

/// A TLS identity that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A private key that others can read.
    #[error("{} may be read by others (mode {mode:o}); run: chmod 600 {0}", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// No certificate of a CA in the text.
    #[error("the CA file holds no certificate (PEM, \"BEGIN CERTIFICATE\")")]
    NoCa,
    /// No certificate of the client in the text.
    #[error("the certificate file holds no certificate (PEM, \"BEGIN CERTIFICATE\")")]
    NoCertificate,
    /// No private key in the text.
    #[error("the key file holds no private key (PEM: PKCS#8, SEC1 or PKCS#1)")]
    NoKey,
    /// Broken PEM.
    #[error("{what}: {error}")]
    Pem {
        /// Which file.
        what: &'static str,
        /// Why.
        error: String,
    },
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    #[error("certificate and key: {0}")]
    Identity(rustls::Error),
}

impl Tls {
    /// From PEM files: the CA that signed the brokers' certificates and, where brokers ask for one, this client's
    /// certificate chain and its private key (mode 0600).
    ///
    /// # Errors
    /// Files that cannot be read, hold nothing useful or do not belong together; a key that others can read.
    pub fn from_files(ca: &Path, identity: Option<(&Path, &Path)>) -> Result<Self, TlsError> {
        let ca = read(ca)?;
        let Some((certificate, key)) = identity else { return Self::from_pem(&ca, None) };
        private(key)?;
        let (certificate, key) = (read(certificate)?, zeroize::Zeroizing::new(read(key)?));
        Self::from_pem(&ca, Some((&certificate, &key)))
    }

    /// As [`Self::from_files`], from the files' contents.
    ///
    /// # Errors
    /// Contents that hold nothing useful or do not belong together.
    pub fn from_pem(ca: &[u8], identity: Option<(&[u8], &[u8])>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates("the CA file", ca)? {
            roots.add(certificate).map_err(|error| TlsError::Pem { what: "the CA file", error: error.to_string() })?;
        }
        if roots.is_empty() {
            return Err(TlsError::NoCa);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Identity)?
            .with_root_certificates(roots);
        let Some((chain, key)) = identity else { return Ok(Self(Arc::new(builder.with_no_client_auth()))) };
        let chain = certificates("the certificate file", chain)?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
        Ok(Self(Arc::new(builder.with_client_auth_cert(chain, key).map_err(TlsError::Identity)?)))
    }

    /// As the MQTT client takes it.
    #[must_use]
    pub fn transport(&self) -> rumqttc::Transport {
        rumqttc::Transport::Tls(rumqttc::TlsConfiguration::Rustls(Arc::clone(&self.0)))
    }
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.map_err(|error| TlsError::Pem { what, error: error.to_string() })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Read { path: path.to_owned(), error })
}

/// Refuses a key file that group or others may read.
#[cfg(unix)]
fn private(path: &Path) -> Result<(), TlsError> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(path).map_err(|error| TlsError::Read { path: path.to_owned(), error })?;
    let mode = found.mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(TlsError::Mode { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn private(_: &Path) -> Result<(), TlsError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn what_is_missing_is_named() {
        let (certificate, key) = pair();
        let (_, other) = pair();
        let (certificate, key, other) = (certificate.as_bytes(), key.as_bytes(), other.as_bytes());
        assert!(Tls::from_pem(certificate, None).is_ok());
        assert!(Tls::from_pem(certificate, Some((certificate, key))).is_ok());
        let said = |made: Result<Tls, TlsError>| made.expect_err("refused").to_string();
        assert!(said(Tls::from_pem(b"", None)).contains("CA file holds no certificate"));
        assert!(said(Tls::from_pem(key, None)).contains("CA file holds no certificate"));
        assert!(said(Tls::from_pem(certificate, Some((b"x", key)))).contains("certificate file holds no certificate"));
        assert!(said(Tls::from_pem(certificate, Some((certificate, certificate)))).contains("no private key"));
        assert!(said(Tls::from_pem(certificate, Some((certificate, other)))).contains("certificate and key"));
        assert!(
            said(Tls::from_pem(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", None))
                .contains("CA file")
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = std::env::temp_dir().join(format!("attest-mqtt-tls-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        let (certificate, key) = pair();
        let (certificate_file, key_file) = (dir.join("c.pem"), dir.join("k.pem"));
        std::fs::write(&certificate_file, certificate).expect("written");
        std::fs::write(&key_file, key).expect("written");
        let open = |mode| {
            std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(mode)).expect("mode");
            Tls::from_files(&certificate_file, Some((&certificate_file, &key_file)))
        };
        assert!(open(0o640).expect_err("refused").to_string().contains("chmod 600"));
        assert!(open(0o600).is_ok());
        assert!(Tls::from_files(&dir.join("none.pem"), None).expect_err("absent").to_string().contains("none.pem"));
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}
