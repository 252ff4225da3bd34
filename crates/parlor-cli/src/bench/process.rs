//! What the kernel says about a process: CPU time and memory, from `/proc`.

use std::fs;

use anyhow::Context as _;

/// CPU time of all threads, ended ones included, in steps of the kernel's clock tick (10 ms).
#[derive(Debug, Clone, Copy)]
pub(super) struct Cpu {
    pub(super) micros: u64,
}

/// Memory in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Everything resident.
    pub(super) resident: u64,
    /// Resident and not backed by a file: heap and stacks.
    pub(super) anonymous: u64,
}

impl Cpu {
    /// The time used so far.
    ///
    /// # Errors
    ///
    /// Where there is no such process, or no `/proc`.
    pub(super) fn of(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let ticks = ticks(&stat).with_context(|| format!("cannot understand {path}"))?;
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        Ok(Self {
            micros: ticks * 1_000_000 / per_second,
        })
    }

    /// This process's own.
    pub(super) fn own() -> Self {
        Self::of(std::process::id()).unwrap_or(Self { micros: 0 })
    }
}

impl Memory {
    /// What it has now.
    ///
    /// # Errors
    ///
    /// Where there is no such process, or no `/proc`.
    pub(super) fn of(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let bytes = |name| kibibytes(&status, name).map(|kib| kib * 1024);
        let unclear = || format!("cannot understand {path}");
        Ok(Self {
            resident: bytes("VmRSS:").with_context(unclear)?,
            anonymous: bytes("RssAnon:").with_context(unclear)?,
        })
    }
}

/// User and system time: fields 14 and 15. The second field, the name, may hold anything, so they
/// are counted from its closing bracket.
fn ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_move_the_fields() {
        let stat = "12 (a) b (c)) S 1 1 1 0 -1 4194560 1 0 0 0 40 2 0 0 20 0 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(42));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_memory_is_there() {
        let memory = Memory::of(std::process::id()).expect("readable");
        assert!(memory.anonymous > 0 && memory.anonymous <= memory.resident);
    }
}
