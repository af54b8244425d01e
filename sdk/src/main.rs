//! `plumbline`: the auditor's and relying party's tool. Flags and exit codes only; the work is in `cli/`.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(cli::Verdict::Holds) => ExitCode::SUCCESS,
        Ok(cli::Verdict::DoesNotHold) => ExitCode::from(1),
        Err(error) => {
            eprintln!("plumbline: {error:#}");
            ExitCode::from(2)
        }
    }
}
