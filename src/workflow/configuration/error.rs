//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

/// The configuration cannot be used. All problems are named at once, in the
/// order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationError {
    /// Which file.
    pub file: PathBuf,
    /// At least one.
    pub problems: Vec<Problem>,
}

/// One thing to correct.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for ConfigurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.problems.iter().enumerate() {
            if position > 0 {
                writeln!(f)?;
            }
            let Problem { line, column, message } = problem;
            write!(f, "{}:{line}:{column}: {message}", self.file.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigurationError {}
