//! The rules of the house that no compiler checks: who may use whom, how long a file may be, what
//! each manifest and each protocol must have. ARCHITECTURE.md and CONTRIBUTING.md say why.

mod edges;
mod files;
mod manifests;

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that are not part of the source.
const SKIPPED: [&str; 5] = [".git", ".cache", "target", "node_modules", "artifacts"];

/// The top of the repository.
fn top() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("the crate is two folders below the top")
        .to_path_buf()
}

/// All files below a folder, in order, without what is not source. Fails on a folder that does not
/// exist, so that a check cannot pass by looking at nothing.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).expect("the folder can be listed");
        for entry in entries {
            let path = entry.expect("the entry can be read").path();
            let name = path.file_name().and_then(|name| name.to_str());
            if path.is_symlink() || name.is_some_and(|name| SKIPPED.contains(&name)) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The path as it is written in a report: from the top, with `/`.
fn shown(path: &Path) -> String {
    let path = path.strip_prefix(top()).unwrap_or(path);
    path.to_string_lossy().replace('\\', "/")
}

fn read(path: &Path) -> String {
    let text = fs::read_to_string(path);
    assert!(text.is_ok(), "{}: {text:?}", shown(path));
    text.unwrap_or_default()
}

/// The names of the crates, which are the folders of `crates/`.
fn crates() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(top().join("crates"))
        .expect("there is a folder of crates")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    assert!(names.len() >= 4, "found only the crates {names:?}");
    names
}

/// Fails with all violations, one a line.
#[track_caller]
fn assert_none(rule: &str, violations: &[String]) {
    assert!(
        violations.is_empty(),
        "{rule}:\n  {}",
        violations.join("\n  ")
    );
}
