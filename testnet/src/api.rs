//! Asks an oracle node's HTTP API. Leaves out: what the answers mean (`demo`, `story`).

use std::time::Duration;

use alloy::transports::http::reqwest;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// One node's API.
#[derive(Clone, Debug)]
pub struct Api {
    base: String,
    client: reqwest::Client,
}

impl Api {
    /// The API on a loopback port.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(port: u16) -> Result<Self> {
        let client =
            reqwest::Client::builder().timeout(Duration::from_secs(5)).build().context("make an HTTP client")?;
        Ok(Self { base: format!("http://127.0.0.1:{port}"), client })
    }

    /// The API at any address.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn at(address: std::net::SocketAddr) -> Result<Self> {
        Ok(Self { base: format!("http://{address}"), ..Self::new(address.port())? })
    }

    /// Its address, for people.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.base
    }

    /// Bytes of a path; `None` when the node does not have it (404) or does not answer.
    ///
    /// # Errors
    /// When the node answers with any other failure.
    pub async fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let Ok(response) = self.client.get(format!("{}{path}", self.base)).send().await else { return Ok(None) };
        let status = response.status().as_u16();
        let body = response.bytes().await.with_context(|| format!("read {path}"))?;
        match status {
            200 => Ok(Some(body.to_vec())),
            404 | 503 => Ok(None),
            _ => bail!("{}{path}: status {status}: {}", self.base, String::from_utf8_lossy(&body)),
        }
    }

    /// JSON of a path; `None` as for [`Self::bytes`].
    ///
    /// # Errors
    /// When the node fails or answers something that is no JSON.
    pub async fn json(&self, path: &str) -> Result<Option<Value>> {
        let Some(bytes) = self.bytes(path).await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).with_context(|| format!("{}{path}: not JSON", self.base))
    }

    /// JSON of a path that must be there.
    ///
    /// # Errors
    /// When it is not, after ten seconds.
    pub async fn need(&self, path: &str) -> Result<Value> {
        for _ in 0..50 {
            if let Some(value) = self.json(path).await? {
                return Ok(value);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("{}{path} is not there", self.base)
    }
}
