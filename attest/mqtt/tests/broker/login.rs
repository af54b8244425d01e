//! User names and passwords: a wrong one is said clearly and tried again ever more slowly.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use attest_mqtt::{Broker, Event, Password, Uplink, Why};

use super::support::{Bench, all_stored, in_thread, queue, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_password_lets_in_and_a_wrong_one_is_named() {
    let port = in_thread(&[("device", "right")]);
    let mut bench = Bench::new();
    let broker = |word: &str| Broker::plain("127.0.0.1", port).with_login("device", Password::new(word));
    let (uplink, mut events) = Uplink::start(bench.options(vec![broker("wrong")]), queue(4_096)).expect("settings");
    bench.read(&uplink);
    let why = until(&mut events, |event| match event {
        Event::Trouble { why, .. } => Some(why.clone()),
        Event::Connected { .. } => panic!("let in with a wrong password"),
        _ => None,
    })
    .await;
    assert!(matches!(why, Why::Refused(_)) && why.to_string().contains("user name, password"), "{why}");
    assert_eq!(uplink.close(Duration::ZERO).await.waiting, 1, "the reading waits");

    let (uplink, mut events) = Uplink::start(bench.options(vec![broker("right")]), queue(4_096)).expect("settings");
    until(&mut events, |event| matches!(event, Event::Connected { .. }).then_some(())).await;
    drop(uplink);
}

/// A broker that answers every CONNECT with one return code; it counts them.
fn refusing(code: u8) -> (u16, std::sync::Arc<std::sync::atomic::AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("address").port();
    let count = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counter = std::sync::Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut bytes = [0; 512];
            let _ = stream.read(&mut bytes);
            let _ = stream.write_all(&[0x20, 2, 0, code]);
        }
    });
    (port, count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusing_broker_is_asked_ever_less_often() {
    let (port, count) = refusing(4);
    let bench = Bench::new();
    let (uplink, mut events) =
        Uplink::start(bench.options(vec![Broker::plain("127.0.0.1", port)]), queue(4_096)).expect("settings");
    let began = Instant::now();
    let mut pauses = Vec::new();
    until(&mut events, |event| {
        if let Event::Trouble { why, again, .. } = event {
            assert_eq!(why.to_string(), "refused: the broker does not accept this user name and password");
            pauses.push(again.expect("tried again"));
        }
        (pauses.len() == 7).then_some(())
    })
    .await;
    // Bounds 100, 200, 400, 800, 1000, 1000, 1000 ms, each pause at least half of its bound.
    for (pause, bound) in pauses.iter().zip([100, 200, 400, 800, 1_000, 1_000, 1_000]) {
        assert!((bound / 2..=bound).contains(&pause.as_millis()), "{pause:?} against {bound} ms");
    }
    let waited: Duration = pauses.iter().take(6).sum();
    assert!(began.elapsed() >= waited, "the pauses were kept");
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 7, "one attempt for each pause");
    drop(uplink);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_broker_serves_while_the_first_refuses() {
    let ((refusing, _), good) = (refusing(5), in_thread(&[]));
    let mut bench = Bench::new();
    let _stored = bench.members(&[good]);
    let options = bench.options(vec![Broker::plain("127.0.0.1", refusing), Broker::plain("127.0.0.1", good)]);
    let (uplink, mut events) = Uplink::start(options, queue(4_096)).expect("settings");
    let id = bench.read(&uplink);
    all_stored(&mut events, &[id]).await;
    assert_eq!(uplink.close(super::support::LONG).await.waiting, 0);
}
