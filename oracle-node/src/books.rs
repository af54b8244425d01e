//! The policy books that this node can work by: one for each root that a term may name.
//! Leaves out: what the documents say (`oracle_core::policy`).

use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail};
use oracle_core::policy::{Book, Conduct};
use oracle_core::registry::Registry;
use oracle_core::term::Term;

/// Books by the order of their files.
#[derive(Clone, Debug)]
pub struct Books(Vec<(PathBuf, Book)>);

impl Books {
    /// Reads the files.
    ///
    /// # Errors
    /// A file that cannot be read, is no book, or asks for another snapshot lag than the first: the chain is followed by one.
    pub fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut books: Vec<(PathBuf, Book)> = Vec::new();
        for path in paths {
            let text = std::fs::read(path).with_context(|| format!("policy book {}", path.display()))?;
            let book = Book::parse(&text).map_err(|why| anyhow!("{}: {why}", path.display()))?;
            let lag = book.conduct.snapshot_lag_ms;
            if let Some((first, known)) = books.first().filter(|(_, known)| known.conduct.snapshot_lag_ms != lag) {
                let (known, first) = (known.conduct.snapshot_lag_ms, first.display());
                bail!("{}: snapshot_lag_ms is {lag}, and {known} in {first}", path.display());
            }
            books.push((path.clone(), book));
        }
        if books.is_empty() {
            bail!("books names no file; a node needs the policy book of its term");
        }
        Ok(Self(books))
    }

    /// The book of a term.
    #[must_use]
    pub fn of(&self, term: &Term) -> Option<&Book> {
        self.0.iter().map(|(_, book)| book).find(|book| book.root() == term.book_root)
    }

    /// The conduct by which a node starts, before it knows its term: the first book's.
    ///
    /// # Errors
    /// None in books that were read.
    pub fn first(&self) -> anyhow::Result<&Conduct> {
        self.0.first().map(|(_, book)| &book.conduct).context("no policy book")
    }

    /// Every file with its book's root, for people.
    #[must_use]
    pub fn listed(&self) -> String {
        let each = self.0.iter().map(|(path, book)| format!("{} has root {}", path.display(), book.root()));
        each.collect::<Vec<String>>().join(", ")
    }

    /// The part of slots in which a lease's device is challenged, of 2^64: by the lease's policy; 0 where it is in no book.
    #[must_use]
    pub fn chance(&self, registry: &Registry, lease: u64) -> u64 {
        let Some(record) = registry.leases().get(&lease) else { return 0 };
        let policy = self.0.iter().find_map(|(_, book)| book.policy(&record.policy_hash));
        let class = policy.and_then(|policy| policy.classes.get(&record.class));
        class.map_or(0, |class| class.rules.chance())
    }
}
