//! The last page of the demo: what each lease's device did, what was proven, what was lost and why, what was paid.
//! Leaves out: where the numbers come from (`demo`).

/// One lease's line.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Device name and what it was told to do.
    pub device: String,
    /// Key algorithm.
    pub key: String,
    /// Class of work.
    pub class: String,
    /// Challenges met and asked.
    pub answered: (u64, u64),
    /// Proven seconds, of how many.
    pub proven: (u64, u64),
    /// Met of asked, basis points.
    pub score_bp: u64,
    /// Reasons with counts, most frequent first.
    pub reasons: Vec<(String, u64)>,
    /// Base units of the test dollar (6 decimals).
    pub paid: u128,
    /// Likewise: unused deposit.
    pub refunded: u128,
    /// Likewise: credited from the lessor's bond.
    pub credited: u128,
}

const HEAD: [&str; 9] = ["device", "key", "class", "answered", "proven", "score", "paid", "refunded", "credit"];

/// Renders the table with a line of totals, columns aligned, reasons on the right.
#[must_use]
pub fn render(rows: &[Row]) -> String {
    let mut lines: Vec<[String; 9]> = rows.iter().map(cells).collect();
    lines.push(totals(rows));
    let mut widths = HEAD.map(str::len);
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    // Every column but the first has a space before its text as well as behind it.
    let columns = widths.iter().enumerate().map(|(index, width)| "─".repeat(width + if index == 0 { 1 } else { 2 }));
    let rule: String = columns.collect::<Vec<_>>().join("┼");
    let mut text = format!(
        "  {} │ reasons for what was lost\n  {rule}┼───────────────────────────\n",
        align(&HEAD.map(String::from), &widths)
    );
    for (index, line) in lines.iter().enumerate() {
        if index == rows.len() {
            text.push_str(&format!("  {rule}┼───────────────────────────\n"));
        }
        let reasons = rows.get(index).map(reasons).unwrap_or_default();
        text.push_str(&format!("  {} │ {reasons}\n", align(line, &widths)));
    }
    text
}

fn cells(row: &Row) -> [String; 9] {
    [
        row.device.clone(),
        row.key.clone(),
        row.class.clone(),
        format!("{}/{}", row.answered.0, row.answered.1),
        format!("{}/{} s", row.proven.0, row.proven.1),
        format!("{}.{:02} %", row.score_bp / 100, row.score_bp % 100),
        dollars(row.paid),
        dollars(row.refunded),
        dollars(row.credited),
    ]
}

fn totals(rows: &[Row]) -> [String; 9] {
    let sum = |pick: fn(&Row) -> u128| dollars(rows.iter().map(pick).sum());
    let mut line: [String; 9] = Default::default();
    line[0] = format!("{} leases", rows.len());
    line[6] = sum(|r| r.paid);
    line[7] = sum(|r| r.refunded);
    line[8] = sum(|r| r.credited);
    line
}

fn reasons(row: &Row) -> String {
    if row.reasons.is_empty() {
        return "—".into();
    }
    row.reasons.iter().map(|(name, count)| format!("{name} ×{count}")).collect::<Vec<_>>().join(", ")
}

/// Text to the left, numbers to the right.
fn align(line: &[String; 9], widths: &[usize; 9]) -> String {
    let cell = |(index, (text, width)): (usize, (&String, &usize))| {
        let pad = " ".repeat(width.saturating_sub(text.chars().count()));
        if index < 3 { format!("{text}{pad}") } else { format!("{pad}{text}") }
    };
    line.iter().zip(widths).enumerate().map(cell).collect::<Vec<_>>().join(" │ ")
}

/// Six decimals, the last two left out unless they are used.
fn dollars(base_units: u128) -> String {
    let (whole, part) = (base_units / 1_000_000, base_units % 1_000_000);
    if part % 10_000 == 0 { format!("{whole}.{:02}", part / 10_000) } else { format!("{whole}.{part:06}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_aligned_and_totals_add_up() {
        let row = |device: &str, paid| Row { device: device.into(), paid, refunded: 5, ..Row::default() };
        let text = render(&[row("gpu-1", 600_000), row("a-longer-name", 1_400_000)]);
        let positions: Vec<usize> =
            text.lines().filter(|l| l.contains('│')).map(|l| l.chars().position(|c| c == '│').unwrap()).collect();
        assert_eq!(positions.len(), 4);
        assert!(positions.windows(2).all(|w| w[0] == w[1]), "{text}");
        let crossing = text.lines().find_map(|l| l.chars().position(|c| c == '┼'));
        assert_eq!(crossing, positions.first().copied(), "{text}");
        assert!(text.contains("2.00") && text.contains("0.000010"), "{text}");
    }
}
