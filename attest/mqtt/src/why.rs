//! Why there is no connection, in words that say what to do. Leaves out: what happens next (`lane`).

use std::error::Error;

use rumqttc::{ConnectReturnCode, ConnectionError, StateError};
use tokio_rustls::rustls;

/// Why a connection was not made or has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The broker said no, or closed the connection without a greeting, which some brokers do instead.
    #[error("refused: {0}")]
    Refused(String),
    /// One side does not accept the other's certificate.
    #[error("TLS: {0}")]
    Tls(String),
    /// Nobody answers.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// A connection that stood has ended.
    #[error("connection lost: {0}")]
    Lost(String),
}

impl Why {
    /// Reads the MQTT client's error; `greeted`: whether the broker had accepted the connection.
    #[must_use]
    pub fn read(error: &ConnectionError, greeted: bool) -> Self {
        if let Some(said) = certificate(error) {
            return Self::Tls(said);
        }
        match error {
            ConnectionError::ConnectionRefused(code) => Self::Refused(refusal(*code).to_owned()),
            ConnectionError::Tls(error) => Self::Tls(error.to_string()),
            ConnectionError::Io(_) | ConnectionError::MqttState(StateError::ConnectionAborted | StateError::Io(_))
                if !greeted && closed(error) =>
            {
                Self::Refused(
                    "the broker closed the connection without a greeting; check user name, password or certificate, and \
                     whether this port wants TLS"
                        .to_owned(),
                )
            }
            ConnectionError::MqttState(StateError::Deserialization(_)) | ConnectionError::NotConnAck(_) if !greeted => {
                Self::Refused("what answers there does not speak MQTT; check the port, and whether it wants TLS".to_owned())
            }
            error if greeted => Self::Lost(error.to_string()),
            error => Self::Unreachable(error.to_string()),
        }
    }
}

const fn refusal(code: ConnectReturnCode) -> &'static str {
    match code {
        ConnectReturnCode::BadUserNamePassword => "the broker does not accept this user name and password",
        ConnectReturnCode::NotAuthorized => {
            "the broker does not let this identity in; check user name, password or certificate"
        }
        ConnectReturnCode::BadClientId => "the broker does not accept this client id",
        ConnectReturnCode::RefusedProtocolVersion => "the broker does not speak MQTT 3.1.1",
        ConnectReturnCode::ServiceUnavailable => "the broker has no room just now",
        ConnectReturnCode::Success => "the broker greeted and refused at once",
    }
}

/// What rustls says, wherever it is wrapped.
fn certificate(error: &ConnectionError) -> Option<String> {
    let found = sources(error).find_map(|error| {
        let inner = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
        inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()).or_else(|| error.downcast_ref())
    })?;
    Some(match found {
        rustls::Error::AlertReceived(alert) => format!(
            "the broker ended the handshake ({alert:?}): it wants a client certificate that its CA has signed, or does not accept this one"
        ),
        rustls::Error::InvalidCertificate(error) => format!(
            "the broker's certificate is not accepted ({error}): is this its CA, and is the certificate for the host name used here?"
        ),
        other => other.to_string(),
    })
}

/// Whether the other side hung up, rather than never having been there.
fn closed(error: &ConnectionError) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let kind = |error: &(dyn Error + 'static)| error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(error, ConnectionError::MqttState(StateError::ConnectionAborted))
        || sources(error)
            .filter_map(kind)
            .any(|kind| matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof))
}

fn sources<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn every_refusal_says_what_to_look_at() {
        let refused = |code| Why::read(&ConnectionError::ConnectionRefused(code), false).to_string();
        assert!(refused(ConnectReturnCode::BadUserNamePassword).contains("user name and password"));
        assert!(refused(ConnectReturnCode::NotAuthorized).contains("certificate"));
        let hung_up = ConnectionError::Io(io::Error::new(io::ErrorKind::ConnectionAborted, "closed"));
        assert!(matches!(Why::read(&hung_up, false), Why::Refused(_)));
        assert!(matches!(Why::read(&hung_up, true), Why::Lost(_)));
        let nobody = ConnectionError::Io(io::Error::new(io::ErrorKind::ConnectionRefused, "refused"));
        assert!(matches!(Why::read(&nobody, false), Why::Unreachable(_)));
    }

    #[test]
    fn a_certificate_problem_is_found_inside_an_io_error() {
        let inner = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        let error = ConnectionError::Io(io::Error::new(io::ErrorKind::InvalidData, inner));
        let said = Why::read(&error, false).to_string();
        assert!(said.contains("wants a client certificate"), "{said}");
    }
}
