//! Files: their length, what they may not contain, what must be there beside them.

use std::fs;
use std::path::Path;

use super::{assert_none, files_below, read, shown, top};

/// Past this many lines of code a file is split by noun.
const CODE_LINES_MAX: usize = 600;

/// Past this size a file that is not text has no place in the repository.
const BINARY_BYTES_MAX: u64 = 100_000;

/// Modules of the protocol crate that are not a protocol.
const NO_PROTOCOLS: [&str; 2] = ["lib", "fuzzing"];

#[test]
fn files_are_short() {
    let mut violations = Vec::new();
    for path in files_below(&top()) {
        let name = shown(&path);
        let code = [".rs", ".js", ".mjs"].iter().any(|end| name.ends_with(end));
        let test = name.contains("/tests/") || name.contains("/vectors/");
        if !code || test || name.ends_with("/tests.rs") {
            continue;
        }
        let lines = code_lines(&read(&path));
        if lines > CODE_LINES_MAX {
            violations.push(format!("{name}: {lines} lines of code"));
        }
    }
    assert_none("files over 600 lines of code", &violations);
}

#[test]
fn nothing_is_left_open() {
    // Put together here, so that this file does not find itself.
    let marks = ["TO", "FIX", "XX"].map(|mark| match mark {
        "TO" => format!("{mark}DO"),
        "FIX" => format!("{mark}ME"),
        _ => format!("{mark}X"),
    });
    let mut violations = Vec::new();
    for path in files_below(&top()) {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| has_word(line, mark)) {
                violations.push(format!("{}:{}: {}", shown(&path), number + 1, line.trim()));
            }
        }
    }
    assert_none("marks of unfinished work", &violations);
}

#[test]
fn binary_files_are_small() {
    let mut violations = Vec::new();
    for path in files_below(&top()) {
        let bytes = path.metadata().expect("the file is there").len();
        if bytes > BINARY_BYTES_MAX && fs::read_to_string(&path).is_err() {
            violations.push(format!("{}: {bytes} bytes", shown(&path)));
        }
    }
    assert_none("binary files over 100 KB", &violations);
}

#[test]
fn each_protocol_has_its_page_its_vectors_and_its_fuzz_targets() {
    let source = top().join("crates/parlor-proto/src");
    let protocols: Vec<String> = fs::read_dir(&source)
        .expect("the crate has sources")
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .filter(|name| !NO_PROTOCOLS.contains(&name.as_str()))
        .collect();
    assert!(
        protocols.iter().any(|name| name == "websocket"),
        "{protocols:?}"
    );
    let mut violations = Vec::new();
    for name in protocols {
        if !top().join(format!("docs/protocols/{name}.md")).is_file() {
            violations.push(format!("docs/protocols/{name}.md"));
        }
        let vectors = format!("crates/parlor-proto/vectors/{name}");
        if !is_filled(&top().join(&vectors)) {
            violations.push(format!("{vectors}/"));
        }
        let bodies = fs::read_to_string(source.join(format!("fuzzing/{name}.rs")));
        let targets = functions(&bodies.unwrap_or_default());
        if targets.is_empty() {
            violations.push(format!(
                "a fuzz target in parlor-proto/src/fuzzing/{name}.rs"
            ));
        }
        for target in targets {
            let path = format!("fuzz/fuzz_targets/{target}.rs");
            if !top().join(&path).is_file() {
                violations.push(path);
            }
        }
    }
    assert_none("what a protocol must have and lacks", &violations);
}

#[test]
fn the_checks_find_what_is_wrong() {
    let code =
        "// a comment\n\nfn f() {\n    g();\n}\n\n#[cfg(test)]\nmod tests {\n    fn h() {}\n}\n";
    assert_eq!(code_lines(code), 3);
    assert_eq!(code_lines("#[cfg(test)]\nmod tests;\nfn f() {}\n"), 3);
    let long = "let x = 1;\n".repeat(CODE_LINES_MAX + 1);
    assert!(code_lines(&long) > CODE_LINES_MAX);
    assert_eq!(
        functions("pub fn a(x: &[u8]) {}\npub(crate) fn b() {}\n"),
        ["a"]
    );
    assert!(has_word("// MARK: later", "MARK"));
    assert!(!has_word("BOOKMARKS", "MARK"));
}

/// Lines that are neither blank nor a comment, up to a module of tests at the end of the file.
fn code_lines(text: &str) -> usize {
    let mut count = 0;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let inline_tests = lines
            .peek()
            .is_some_and(|next| next.starts_with("mod tests {"));
        if line == "#[cfg(test)]" && inline_tests {
            break;
        }
        let line = line.trim_start();
        if !line.is_empty() && !line.starts_with("//") {
            count += 1;
        }
    }
    count
}

/// Whether `word` stands in the line with no letter or digit beside it.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line
            .get(at + word.len()..)
            .and_then(|text| text.chars().next());
        ![before, after]
            .into_iter()
            .flatten()
            .any(char::is_alphanumeric)
    })
}

/// The names of the public functions of a file.
fn functions(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| line.strip_prefix("pub fn "));
    names
        .filter_map(|rest| Some(rest.split_once('(')?.0.to_owned()))
        .collect()
}

fn is_filled(folder: &Path) -> bool {
    folder.is_dir() && !files_below(folder).is_empty()
}
