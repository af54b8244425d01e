//! The sun against values of an independent implementation (pvlib 0.16.1, NREL's SPA and its Haurwitz).

use super::*;

/// Place, unix seconds, sine of the height in millionths, Haurwitz in mW/m².
const KNOWN: [((i32, i32), u64, i128, i128); 7] = [
    ((397_420_000, -1_051_727_000), 1_647_630_600, 760_681, 772_894),
    ((397_420_000, -1_051_727_000), 1_647_608_400, -38_604, 0),
    ((-339_000_000, 184_000_000), 1_734_757_200, 273_120, 241_623),
    ((515_000_000, 0), 1_908_273_600, 882_384, 906_194),
    ((690_000_000, 200_000_000), 1_782_081_000, 42_919, 11_919),
    ((0, 1_799_000_000), 946_684_800, 919_908, 947_311),
    ((-800_000_000, -1_700_000_000), 331_300_800, -543_837, 0),
];

#[test]
fn the_sun_stands_where_others_see_it() {
    for (place, time, sine, irradiance) in KNOWN {
        let height = sine_of_height(place, time);
        let found = (height * 1_000_000) >> 60;
        // 0.02 degrees are 349 millionths.
        assert!((found - sine).abs() < 349, "{place:?} {time}: {found} {sine}");
        let found = irradiance_mw(Panel::Flat, height);
        assert!((found - irradiance).abs() < 700, "{place:?} {time}: {found} {irradiance}");
    }
}

fn sky() -> Sky {
    Sky { panel: Panel::Flat, long_bp: 11_000, short_bp: 15_000, dawn_bp: 100 }
}

#[test]
fn limits_narrow_with_length_and_vanish_at_night() {
    assert_eq!(
        [60, 300, 1_950, 3_600, 86_400].map(|length| sky().part_bp(length)),
        [15_000, 15_000, 13_000, 11_000, 11_000]
    );
    let (place, noon) = ((397_420_000, -1_051_727_000), 1_647_630_000);
    // 10 kW under 773 W/m² for five minutes are 644 Wh.
    let limits = sky().limits(place, 10_000, (noon, noon + 300), 0).unwrap();
    assert!((960..=970).contains(&limits.refused_above) && (704..=711).contains(&limits.counted_up_to), "{limits:?}");
    assert_eq!(sky().counted(700, limits), Ok(700));
    assert_eq!(sky().counted(900, limits), Ok(limits.counted_up_to + 1));
    assert_eq!(sky().counted(980, limits).unwrap_err().reason, Reason::ABOVE_CLEAR_SKY);
    let midnight = noon + 43_200;
    let dark = sky().limits(place, 10_000, (midnight, midnight + 300), -3).unwrap();
    assert_eq!(dark, Sunlit { refused_above: 0, counted_up_to: 0 });
    assert_eq!(sky().counted(2, dark).unwrap_err().reason, Reason::ENERGY_AT_NIGHT);
}

proptest::proptest! {
    #[test]
    fn extremes_stay_in_bounds(lat: i32, lon: i32, rated: u64, start: u64, length: u64, resolution in -30i32..30) {
        let end = start.saturating_add(length % 1_000_000);
        let found = sky().limits((lat, lon), rated, (start, end), resolution);
        let bounded = found.is_none_or(|limits| limits.counted_up_to <= limits.refused_above);
        proptest::prop_assert!(bounded);
        proptest::prop_assert!(sine_of_height((lat, lon), start).abs() <= ONE + 64);
        proptest::prop_assert!(sky().limits((lat, lon), rated, (end, start.wrapping_sub(1)), resolution).is_none() || start == 0);
    }
}
