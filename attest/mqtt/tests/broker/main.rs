//! The uplink against real brokers: rumqttd in processes of their own that can be killed, members that sign real receipts.
//! Every wait is bounded. Leaves out: mosquitto and its rules (`.ci/mosquitto`), and the real node (its own tests).

mod failover;
mod life;
mod login;
mod support;
mod tls;

/// Not a test by itself: with `ATTEST_MQTT_BROKER=port` in the environment this process is a broker (`support`).
#[test]
fn broker_process() {
    if let Ok(port) = std::env::var("ATTEST_MQTT_BROKER") {
        support::serve(port.parse().expect("a port"));
    }
}
