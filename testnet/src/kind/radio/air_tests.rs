//! Tests of `air`: the same seed gives the same air, links of the demo's size mostly hold, nobody speaks for another.

use super::*;

fn hotspot(token: u64, lat_e7: i32, lon_e7: i32, port: u16) -> Hotspot {
    Hotspot { token, lat_e7, lon_e7, address: SocketAddr::from(([127, 0, 0, 1], port)) }
}

fn frame(slot: u64, attenuation_db: u8) -> Frame {
    Frame { token: 6, lease: 16, slot, payload: [slot as u8; 16], attenuation_db }
}

/// The model, and the recordings where they are.
fn channels(seed: u64) -> Vec<Channel> {
    let data = recording::test_data();
    if data.is_none() {
        println!("skipped: no data folder, only the model is tested");
    }
    let folders = [None, data.as_deref()];
    let known = folders.into_iter().take(1 + usize::from(data.is_some()));
    known.map(|folder| Channel::new(seed, folder).unwrap()).collect()
}

#[test]
fn the_same_seed_gives_the_same_air_and_another_does_not() {
    for ((one, same), other) in channels(1).iter().zip(&channels(1)).zip(&channels(2)) {
        let hear =
            |channel: &Channel| (0..50).map(|slot| channel.receive(&frame(slot, 0), 7, 2_500.0)).collect::<Vec<_>>();
        assert_eq!(hear(one), hear(same));
        assert_ne!(hear(one), hear(other));
    }
}

#[test]
fn links_of_the_demos_size_mostly_hold_and_obey_free_space() {
    for channel in channels(7) {
        for metres in [500.0, 1_000.0, 2_000.0, 3_500.0, 5_000.0] {
            let heard: Vec<(u8, Signal)> = (0..600)
                .filter_map(|slot| {
                    let attenuation = 3 * (slot % 3) as u8;
                    channel.receive(&frame(slot, attenuation), 7, metres).map(|signal| (attenuation, signal))
                })
                .collect();
            assert!(heard.len() > 450, "{} of 600 at {metres} m by {}", heard.len(), channel.source());
            for (attenuation, signal) in heard {
                let most = EIRP_DBM - f64::from(attenuation) + 3.0 - free_space_loss(metres);
                assert!(signal.rssi <= most + 0.01, "{signal:?} over {metres} m");
                assert!(signal.snr >= SNR_MIN_DB);
            }
        }
    }
}

#[test]
fn attenuation_weakens_and_far_away_is_silent() {
    for channel in channels(3) {
        let near = channel.receive(&frame(1, 0), 7, 600.0).unwrap();
        let weaker = channel.receive(&frame(1, 6), 7, 600.0);
        assert!(weaker.is_none_or(|weaker| (near.rssi - weaker.rssi - 6.0).abs() < 1e-9));
        let heard = (0..100).filter(|slot| channel.receive(&frame(*slot, 0), 7, 3e6).is_some()).count();
        assert_eq!(heard, 0, "{}", channel.source());
    }
}

#[test]
fn a_frame_reaches_the_others_and_not_its_sender() {
    let air = Channel::new(1, None).unwrap();
    let all = [hotspot(6, 0, 0, 1), hotspot(7, 90_000, 0, 2), hotspot(8, 0, 90_000, 3)];
    let fates = spread(&air, &all, &frame(4, 0));
    assert_eq!(fates.iter().map(|(_, fate)| fate.to).collect::<Vec<_>>(), [7, 8]);
    assert!(fates.iter().all(|(_, fate)| fate.metres == 1_001), "{fates:?}");
    assert!(spread(&air, &all, &Frame { token: 5, ..frame(4, 0) }).is_empty());
}

#[tokio::test]
async fn the_process_delivers_to_a_listener_and_ignores_a_frame_in_anothers_name() {
    let bind = || std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (sender, listener, radio) = (bind(), bind(), bind());
    let listen = radio.local_addr().unwrap();
    drop(radio);
    let at = |token, socket: &std::net::UdpSocket| Hotspot {
        address: socket.local_addr().unwrap(),
        ..hotspot(token, token as i32 * 50_000, 0, 0)
    };
    let hotspots = vec![at(6, &sender), at(7, &listener)];
    let log = std::env::temp_dir().join(format!("plumbline-radio-{}.jsonl", std::process::id()));
    let config = RadioConfig { listen, seed: 1, recordings: Some("nowhere".into()), log: Some(log.clone()), hotspots };
    let air = tokio::spawn(run(config));
    let heard = tokio::task::spawn_blocking(move || {
        listener.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
        let mut buffer = [0; MAX_DATAGRAM];
        for _ in 0..100 {
            let forged = serde_json::to_vec(&frame(1, 0)).unwrap();
            listener.send_to(&forged, listen).unwrap();
            sender.send_to(&serde_json::to_vec(&frame(2, 0)).unwrap(), listen).unwrap();
            if let Ok(length) = listener.recv(&mut buffer) {
                return serde_json::from_slice::<Delivery>(&buffer[..length]).unwrap();
            }
        }
        panic!("nothing was delivered in ten seconds");
    });
    let heard = heard.await.unwrap();
    air.abort();
    assert_eq!((heard.lease, heard.slot, heard.payload), (16, 2, [2; 16]));
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    let fate: Fate = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((fate.to, fate.delivery), (7, Some(heard)));
}
