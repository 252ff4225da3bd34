//! Manifests and lint files.

use toml::{Table, Value};

use super::{assert_none, crates, read, top};

/// What each crate takes from the workspace.
const INHERITED: [&str; 6] = [
    "version",
    "edition",
    "rust-version",
    "license",
    "repository",
    "authors",
];

/// Which crates of ours a crate may depend on. A new line here is a decision (docs/decisions).
const CRATE_EDGES: [(&str, &[&str]); 4] = [
    ("parlor-cli", &["parlor"]),
    ("parlor", &["parlor-proto", "parlor-hub"]),
    ("parlor-proto", &[]),
    ("parlor-hub", &[]),
];

/// All that the two leaves may depend on: nothing that waits, opens a socket or reads a clock.
const LEAF_DEPENDENCIES: [(&str, &[&str]); 2] = [
    (
        "parlor-proto",
        &[
            "base64",
            "bytes",
            "flate2",
            "httparse",
            "memchr",
            "serde",
            "serde_json",
            "sha1",
            "simdutf8",
            "thiserror",
            "tracing",
        ],
    ),
    ("parlor-hub", &["bytes", "thiserror", "tracing"]),
];

#[test]
fn crates_depend_on_each_other_as_decided() {
    let mut violations = Vec::new();
    for name in crates() {
        let table = manifest(&name);
        let Some((_, allowed)) = CRATE_EDGES.iter().find(|(krate, _)| *krate == name) else {
            violations.push(format!("{name} is a crate whose edges nobody decided"));
            continue;
        };
        for (section, dependency, _) in dependencies(&table) {
            let own = dependency.starts_with("parlor");
            if own && dependency != name && !allowed.contains(&dependency.as_str()) {
                violations.push(format!("{name}: {dependency} in [{section}]"));
            }
        }
    }
    assert_none("edges between crates that are not allowed", &violations);
}

#[test]
fn the_leaves_are_pure() {
    let mut violations = Vec::new();
    for (name, allowed) in LEAF_DEPENDENCIES {
        for (section, dependency, _) in dependencies(&manifest(name)) {
            if section == "dependencies" && !allowed.contains(&dependency.as_str()) {
                violations.push(format!("{name}: {dependency}"));
            }
        }
    }
    assert_none("dependencies that a leaf may not have", &violations);
}

#[test]
fn manifests_inherit_versions_and_lints() {
    let mut violations = Vec::new();
    for name in crates() {
        violations.extend(not_inherited(&manifest(&name)).map(|what| format!("{name}: {what}")));
    }
    assert_none("not inherited from the workspace", &violations);
}

#[test]
fn lint_files_of_the_leaves_repeat_the_root_one() {
    let root = parse(&read(&top().join("clippy.toml")));
    assert!(!root.is_empty());
    let mut violations = Vec::new();
    for (name, _) in LEAF_DEPENDENCIES {
        let leaf = parse(&read(&top().join("crates").join(name).join("clippy.toml")));
        violations.extend(not_repeated(&root, &leaf).map(|key| format!("{name}: {key}")));
    }
    assert_none("lines of clippy.toml that a leaf lacks", &violations);
}

#[test]
fn the_checks_find_what_is_wrong() {
    let good = "[package]\nversion.workspace = true\nedition.workspace = true\n\
                rust-version.workspace = true\nlicense.workspace = true\n\
                repository.workspace = true\nauthors.workspace = true\n\
                [lints]\nworkspace = true\n[dependencies]\nbytes.workspace = true\n";
    assert_eq!(not_inherited(&parse(good)).count(), 0);
    for (right, wrong) in [
        ("edition.workspace = true", "edition = \"2021\""),
        ("[lints]\nworkspace = true\n", ""),
        ("bytes.workspace = true", "bytes = \"1\""),
    ] {
        assert_eq!(
            not_inherited(&parse(&good.replace(right, wrong))).count(),
            1
        );
    }
    let root = parse("a = 1\nb = [\"x\", \"y\"]");
    assert_eq!(
        not_repeated(&root, &parse("a = 1\nb = [\"y\", \"z\", \"x\"]")).count(),
        0
    );
    assert_eq!(not_repeated(&root, &parse("a = 2\nb = [\"x\"]")).count(), 2);
    let tables =
        "[target.'cfg(unix)'.dependencies]\nparlor-hub = {}\n[dev-dependencies]\nx = \"1\"";
    assert_eq!(dependencies(&parse(tables)).len(), 2);
}

/// What a manifest states itself though the workspace states it.
fn not_inherited(manifest: &Table) -> impl Iterator<Item = String> {
    let package = manifest.get("package").and_then(Value::as_table);
    let package = package.cloned().unwrap_or_default();
    let keys = INHERITED
        .into_iter()
        .filter(move |key| !package.get(*key).is_some_and(inherits))
        .map(|key| format!("package.{key}"));
    let lints = (!manifest.get("lints").is_some_and(inherits)).then(|| "lints".to_owned());
    let versions = dependencies(manifest)
        .into_iter()
        .filter(|(_, _, value)| !inherits(value))
        .map(|(section, name, _)| format!("{section}.{name}"));
    keys.chain(lints).chain(versions)
}

/// The keys of the root's lint file that a leaf lacks or changes; lists may be longer there.
fn not_repeated<'a>(root: &'a Table, leaf: &'a Table) -> impl Iterator<Item = &'a String> {
    root.iter()
        .filter(|(key, value)| match (value, leaf.get(*key)) {
            (Value::Array(wanted), Some(Value::Array(got))) => {
                !wanted.iter().all(|item| got.contains(item))
            }
            (value, got) => Some(*value) != got,
        })
        .map(|(key, _)| key)
}

/// Section, name and value of every dependency, those of tests and of single targets included.
fn dependencies(manifest: &Table) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    let targets = manifest.get("target").and_then(Value::as_table);
    let tables = targets
        .into_iter()
        .flatten()
        .filter_map(|(_, value)| value.as_table());
    for table in tables.chain([manifest]) {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let entries = table.get(section).and_then(Value::as_table);
            for (name, value) in entries.into_iter().flatten() {
                found.push((section.to_owned(), name.clone(), value.clone()));
            }
        }
    }
    found
}

fn inherits(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

fn manifest(name: &str) -> Table {
    parse(&read(&top().join("crates").join(name).join("Cargo.toml")))
}

fn parse(text: &str) -> Table {
    text.parse().expect("the file is TOML")
}
