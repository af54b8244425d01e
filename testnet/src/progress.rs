//! What a person sees while the demo runs: steps with a spinner, then one line each. Plain lines where there is no terminal.
//! Leaves out: the final table (`table`).

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// `text` in the colour or weight of an ANSI code; bare where nobody sees it (no terminal) or wants it (`NO_COLOR`).
#[must_use]
pub fn paint(code: &str, text: &str) -> String {
    let plain = !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if plain { text.to_owned() } else { format!("\x1b[{code}m{text}\x1b[0m") }
}

/// Shows one step after another.
#[derive(Debug)]
pub struct Progress {
    plain: bool,
    start: Instant,
}

/// One running step.
#[derive(Debug)]
pub struct Step {
    title: String,
    bar: Option<ProgressBar>,
    start: Instant,
    since: Instant,
}

impl Progress {
    /// `plain`: no spinners or bars, for logs and machines.
    #[must_use]
    pub fn new(plain: bool) -> Self {
        Self { plain, start: Instant::now() }
    }

    /// Time since the demo began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Prints a heading.
    pub fn heading(&self, text: &str) {
        println!("\n{}", paint("1", text));
    }

    /// A step whose length is not known.
    #[must_use]
    pub fn step(&self, title: &str) -> Step {
        self.begin(title, None)
    }

    /// A step with a known length.
    #[must_use]
    pub fn bar(&self, title: &str, length: u64) -> Step {
        self.begin(title, Some(length))
    }

    fn begin(&self, title: &str, length: Option<u64>) -> Step {
        let bar = (!self.plain).then(|| {
            let (bar, template) = match length {
                None => (ProgressBar::new_spinner(), "  {spinner:.cyan} {msg}"),
                Some(length) => (ProgressBar::new(length), "  {spinner:.cyan} [{bar:30.cyan}] {msg}"),
            };
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style.progress_chars("━╸ "));
            bar.set_message(title.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            println!("  … {title}");
        }
        Step { title: title.to_owned(), bar, start: self.start, since: Instant::now() }
    }
}

impl Step {
    /// Says what is going on now.
    pub fn say(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {text}", self.title));
        }
    }

    /// Moves a bar to `position`.
    pub fn at(&self, position: u64, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_position(position);
        }
        self.say(text);
    }

    /// Prints a line above the running step.
    pub fn note(&self, text: &str) {
        let line = format!("    {:>6.1} s  {text}", self.start.elapsed().as_secs_f64());
        match &self.bar {
            Some(bar) => bar.println(line),
            None => println!("{line}"),
        }
    }

    /// Ends the step with what came of it.
    pub fn done(self, outcome: &str) {
        let seconds = self.since.elapsed().as_secs_f64();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let (mark, time) = (paint("32", "✓"), paint("2", &format!("({seconds:.1} s)")));
        println!("  {mark} {}: {outcome} {time}", self.title);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
