//! The default policy: a weather station that says five things every five minutes.
//! Leaves out: other devices, for which a policy document says its own numbers.

use super::policy::{
    CalmPolicy, ChannelPolicy, ConstantPolicy, CopyPolicy, DigitsPolicy, LinePolicy, StreamPolicy, SunPolicy,
};

impl Default for StreamPolicy {
    /// Channels 1 temperature, 2 relative humidity, 3 pressure, 4 wind speed (0.01 °C, %, hPa, m/s), 5 global horizontal
    /// irradiance (0.1 W/m², needs the sun). Bounds and constancy are those of consumer stations; jumps are twice the largest
    /// of a real station's, and more.
    fn default() -> Self {
        let constant = |window_min| Some(ConstantPolicy { window_min, band: 0, calm: None });
        let calm = |low, high, window_min| {
            Some(ConstantPolicy { window_min: 360, band: 0, calm: Some(CalmPolicy { low, high, window_min }) })
        };
        let line = Some(LinePolicy { interior_min: 4, rise_min: 6 });
        let digits = Some(DigitsPolicy { changes: 40, distinct_min: 6 });
        let base = ChannelPolicy {
            channel: 0,
            exponent: -2,
            min: 0,
            max: 0,
            resolution: 1,
            readings_min: 1,
            readings_max: 1,
            weight: 1,
            jump_max: 0,
            constant: None,
            line,
            digits,
            sun: None,
        };
        let sun = Some(SunPolicy { night_max: 100, down_cdeg: -600, centre_max_s: 7_200 });
        let (warm, wet) = ((-4_000, 6_000, 500), (0, 10_000, 2_500));
        let (heavy, windy, bright) = ((30_000, 110_000, 300), (-20, 5_000, 2_500), (-150, 16_000, 12_000));
        let of = |channel, (min, max, jump_max): (i64, i64, i64), constant| ChannelPolicy {
            channel,
            min,
            max,
            jump_max,
            constant,
            ..base.clone()
        };
        let light = of(5, bright, calm(-150, 100, 1_440));
        let channels = vec![
            of(1, warm, constant(240)),
            of(2, wet, calm(9_900, 10_000, 2_880)),
            of(3, heavy, constant(120)),
            of(4, windy, calm(-20, 30, 2_880)),
            ChannelPolicy { exponent: -1, sun, digits: None, ..light },
        ];
        Self {
            window_ms: 300_000,
            fresh_ms: 60_000,
            late_ms: 300_000,
            age_max_ms: 600_000,
            complete_min_bp: 8_000,
            quality_min_bp: 8_000,
            credit_bp: 5_000,
            channels,
            copy: Some(CopyPolicy {
                channels: vec![(1, 10), (2, 50), (3, 10)],
                span: 1,
                lag_max: 24,
                matches_min: 30,
                margin_ms: 5_000,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_policy_and_its_section_reads_back() {
        let policy = StreamPolicy::default();
        let section = serde_json::to_value(&policy).expect("a section");
        println!("{}", serde_json::to_string(&section).expect("text"));
        assert_eq!(StreamPolicy::parse(&section), Ok(policy));
    }

    #[test]
    fn what_could_not_be_judged_is_refused_by_name() {
        let refused = |change: fn(&mut StreamPolicy)| {
            let mut policy = StreamPolicy::default();
            change(&mut policy);
            let section = serde_json::to_value(&policy).expect("a section");
            StreamPolicy::parse(&section).expect_err("refused")
        };
        assert!(refused(|p| p.window_ms = 999).contains("window_ms"));
        assert!(refused(|p| p.window_ms = 1_500).contains("window_ms"));
        assert!(refused(|p| p.late_ms = 1).contains("fresh_ms"));
        assert!(refused(|p| p.complete_min_bp = 10_001).contains("complete_min_bp"));
        assert!(refused(|p| p.quality_min_bp = 0).contains("quality_min_bp"));
        assert!(refused(|p| p.channels.clear()).contains("channels"));
        assert!(refused(|p| p.channels.swap(0, 1)).contains("ascend"));
        assert!(refused(|p| p.channels.iter_mut().for_each(|c| c.readings_min = 0)).contains("required"));
        assert!(refused(|p| p.channels[0].min = i64::MIN).contains("channel.min"));
        assert!(refused(|p| p.channels[0].max = i64::MAX).contains("channel.max"));
        assert!(refused(|p| p.channels[0].resolution = 0).contains("resolution"));
        assert!(refused(|p| p.channels[0].readings_max = 0).contains("readings_max"));
        assert!(
            refused(|p| p
                .channels
                .iter_mut()
                .for_each(|c| c.sun = Some(SunPolicy { night_max: 0, down_cdeg: 0, centre_max_s: 0 })))
            .contains("sun")
        );
        assert!(refused(|p| p.copy.as_mut().expect("copy").matches_min = 1).contains("matches_min"));
        assert!(refused(|p| p.copy.as_mut().expect("copy").channels[0].0 = 99).contains("copy.channels"));
        let unknown = serde_json::json!({ "window": 1 });
        assert!(StreamPolicy::parse(&unknown).is_err());
    }
}
