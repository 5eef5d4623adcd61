//! How much memory a batch may use.

use std::path::{Path, PathBuf};

/// Memory that can be used without anything being swapped out, in bytes:
/// `MemAvailable`, or less where a cgroup (v2: containers, systemd units)
/// allows less. `None` when the kernel does not say.
pub fn available_memory_bytes() -> Option<u64> {
    let of_machine = parse_mem_available(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
    let of_cgroup = std::fs::read_to_string("/proc/self/cgroup")
        .ok()
        .and_then(|text| unified_cgroup(&text))
        .and_then(|below| available_in_cgroup(Path::new("/sys/fs/cgroup"), &below));
    Some(of_cgroup.map_or(of_machine, |bytes| bytes.min(of_machine)))
}

fn parse_mem_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn unified_cgroup(proc_self_cgroup: &str) -> Option<PathBuf> {
    let path = proc_self_cgroup.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // A process moved out of its namespace's root sees `/../…`: not ours to climb.
    (!path.split('/').any(|component| component == "..")).then(|| PathBuf::from(path))
}

/// The tightest of the limits from the cgroup up to the root.
fn available_in_cgroup(root: &Path, below: &Path) -> Option<u64> {
    below.ancestors().filter_map(|level| available_at(&root.join(level))).min()
}

/// `memory.current` counts the page cache too, which gives way: what is left is the
/// limit minus all that is used for other things.
fn available_at(cgroup: &Path) -> Option<u64> {
    let number = |name: &str| std::fs::read_to_string(cgroup.join(name)).ok()?.trim().parse::<u64>().ok();
    let limit = number("memory.max")?; // "max", no limit, is no number
    let used = number("memory.current")?;
    let statistics = std::fs::read_to_string(cgroup.join("memory.stat")).unwrap_or_default();
    let cache: u64 = statistics
        .lines()
        .filter_map(|line| line.strip_prefix("inactive_file ").or(line.strip_prefix("active_file ")))
        .filter_map(|value| value.trim().parse::<u64>().ok())
        .sum();
    Some(limit.saturating_sub(used.saturating_sub(cache)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_cgroup_on_the_way_up_decides_and_cache_does_not_count() {
        let root = tempfile::tempdir().unwrap();
        let unit = root.path().join("system.slice/backup.service");
        std::fs::create_dir_all(&unit).unwrap();
        let write =
            |directory: &Path, name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
        write(&unit, "memory.max", "max\n");
        write(&unit, "memory.current", "50\n");
        let slice = unit.parent().unwrap();
        write(slice, "memory.max", "1000\n");
        write(slice, "memory.current", "900\n");
        write(slice, "memory.stat", "anon 300\nactive_file 100\ninactive_file 400\n");
        assert_eq!(available_in_cgroup(root.path(), Path::new("system.slice/backup.service")), Some(600));
        assert_eq!(available_in_cgroup(root.path(), Path::new("")), None);
    }

    #[test]
    fn the_files_of_the_kernel_are_understood() {
        assert_eq!(parse_mem_available("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), Some(2048 * 1024));
        assert_eq!(parse_mem_available("MemTotal: 9 kB\n"), None);
        assert_eq!(unified_cgroup("4:memory:/x\n0::/a/b\n"), Some(PathBuf::from("a/b")));
        assert_eq!(unified_cgroup("0::/\n"), Some(PathBuf::new()));
        assert_eq!(unified_cgroup("0::/../a\n"), None);
        assert!(available_memory_bytes().unwrap() > 0);
    }
}
