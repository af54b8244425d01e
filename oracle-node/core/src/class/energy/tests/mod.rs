//! The class on made-up meters that cheat (`cheaters`) and on recordings (`real`).

mod cheaters;
mod real;

pub(super) use crate::class::recorded::folder as data;
