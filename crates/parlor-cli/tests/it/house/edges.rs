//! Edges between modules, read from the paths that the sources name.

use std::collections::BTreeSet;

use super::{assert_none, files_below, read, shown, top};

/// What a module of the library may name: other modules, and the two leaves. A new line or a new
/// word here is a decision (docs/decisions).
const MODULE_EDGES: [(&str, &[&str]); 12] = [
    // The few values that everybody needs, validated once.
    ("config", &[]),
    ("policy", &[]),
    // Everybody may count.
    ("metrics", &[]),
    ("front", &["policy"]),
    // A door maps a protocol onto the hub; it sees neither sockets nor the HTTP side.
    (
        "door",
        &[
            "embed",
            "policy",
            "front",
            "metrics",
            "parlor_hub",
            "parlor_proto",
        ],
    ),
    // What embedders write and hold. It gives commands to the shards, and knows of them only that
    // somebody carries those there.
    ("embed", &["parlor_hub", "parlor_proto"]),
    // The way into the shards for those who have no connection.
    ("handle", &["door", "shard", "parlor_hub"]),
    // A shard knows the hub and the doors' one trait, never a protocol by name.
    (
        "shard",
        &[
            "door",
            "embed",
            "front",
            "http",
            "metrics",
            "policy",
            "parlor_hub",
        ],
    ),
    (
        "http",
        &[
            "config",
            "front",
            "handle",
            "metrics",
            "policy",
            "parlor_hub",
            "parlor_proto",
        ],
    ),
    // Puts the parts together.
    (
        "server",
        &[
            "config",
            "door",
            "embed",
            "front",
            "handle",
            "http",
            "metrics",
            "policy",
            "shard",
            "parlor_hub",
            "parlor_proto",
        ],
    ),
    // The other end of the wire: it knows the server by its protocols alone. Of the hub it shares
    // the two ids.
    ("client", &["parlor_hub", "parlor_proto"]),
    // What it shows of the hub are ids, names and other plain values.
    ("lib", &["config", "embed", "server", "parlor_hub"]),
];

/// The doors, and which other door each may build on.
const DOOR_EDGES: [(&str, &[&str]); 7] = [
    ("raw", &[]),
    ("websocket", &[]),
    ("signal", &[]),
    ("sse", &[]),
    ("engineio", &["websocket"]),
    ("socketio", &["engineio"]),
    ("peerjs", &[]),
];

#[test]
fn modules_of_the_library_use_each_other_as_decided() {
    let mut violations = Vec::new();
    let source = top().join("crates/parlor/src");
    let modules: BTreeSet<String> = files_below(&source)
        .iter()
        .map(|path| module(&shown(path)))
        .collect();
    for path in files_below(&source) {
        let name = shown(&path);
        if is_test(&name) {
            continue;
        }
        let own = module(&name);
        let Some((_, allowed)) = MODULE_EDGES.iter().find(|(module, _)| *module == own) else {
            violations.push(format!("{name}: a module whose edges nobody decided"));
            continue;
        };
        for used in used(&name, &read(&path)) {
            let ours = modules.contains(&used) || used.starts_with("parlor");
            if ours && used != own && !allowed.contains(&used.as_str()) {
                violations.push(format!("{name}: {used}"));
            }
        }
    }
    assert_none("edges between modules that are not allowed", &violations);
}

#[test]
fn doors_do_not_know_each_other() {
    let mut violations = Vec::new();
    for path in files_below(&top().join("crates/parlor/src/door")) {
        let name = shown(&path);
        let Some(own) = below(&name, "door/") else {
            continue;
        };
        let Some((_, allowed)) = DOOR_EDGES.iter().find(|(door, _)| *door == own) else {
            continue;
        };
        for used in doors_used(&read(&path)) {
            if used != own && !allowed.contains(&used.as_str()) {
                violations.push(format!("{name}: door::{used}"));
            }
        }
    }
    assert_none("doors that know another door", &violations);
}

/// Nothing may name the vocabulary of the shell in the two leaves; their manifests keep out the
/// crates, this keeps out the standard library's threads, locks and files.
#[test]
fn the_leaves_use_no_shell_of_the_standard_library() {
    let banned = [
        "std::thread",
        "std::net::Tcp",
        "std::net::Udp",
        "std::fs",
        "std::sync::Mutex",
        "std::sync::RwLock",
        "std::time::SystemTime",
        "std::process",
        "std::env",
    ];
    let mut violations = Vec::new();
    for leaf in ["parlor-proto", "parlor-hub"] {
        for path in files_below(&top().join("crates").join(leaf).join("src")) {
            let name = shown(&path);
            if is_test(&name) {
                continue;
            }
            let text = code(&read(&path));
            for word in banned.iter().filter(|word| text.contains(*word)) {
                violations.push(format!("{name}: {word}"));
            }
            let waits = [";", "?", ".", ")", ",", "\n"]
                .iter()
                .any(|end| text.contains(&format!(".await{end}")));
            if waits || text.contains("async ") {
                violations.push(format!("{name}: it waits"));
            }
        }
    }
    assert_none("what a pure leaf may not use", &violations);
}

#[test]
fn the_checks_find_what_is_wrong() {
    let check = |file: &str, text: &str, expected: &[&str]| {
        let used = used(&format!("crates/parlor/src/{file}"), text);
        assert_eq!(
            used.iter().map(String::as_str).collect::<Vec<_>>(),
            expected,
            "{text}"
        );
    };
    check("http/mod.rs", "use crate::door::Door;", &["door"]);
    check(
        "http/mod.rs",
        "use crate::{door::Door, front};",
        &["door", "front"],
    );
    check(
        "http/mod.rs",
        "use crate::{\n    door::{Door, Other},\n    front,\n};",
        &["door", "front"],
    );
    check("http/mod.rs", "fn f() { crate::shard::g(); }", &["shard"]);
    check(
        "http/mod.rs",
        "use parlor_proto::websocket::Error;",
        &["parlor_proto"],
    );
    check("http/mod.rs", "use super::shard::Shard;", &["shard"]);
    check("http/gate.rs", "use super::body::Body;", &["http"]);
    check("http/gate.rs", "use super::super::shard;", &["shard"]);
    check("front.rs", "use super::shard::Shard;", &["shard"]);
    check(
        "front.rs",
        "// crate::door\n/// [`crate::door::Door`]\n",
        &[],
    );
    assert_eq!(
        doors_used("use super::sse;\nuse crate::door::peerjs::X;").len(),
        2
    );
    assert!(is_test("crates/parlor/src/front/tests.rs"));
    assert_eq!(module("crates/parlor/src/shard/wheel.rs"), "shard");
}

/// The first names below the crate's root that a file names, and the leaves; each once, in order.
fn used(file: &str, text: &str) -> BTreeSet<String> {
    let text = code(text);
    let mut found = BTreeSet::new();
    for leaf in ["parlor_proto", "parlor_hub"] {
        if !heads(&text, &format!("{leaf}::")).is_empty() {
            found.insert(leaf.to_owned());
        }
    }
    found.extend(heads(&text, "crate::"));
    // `super` leads to the root from a file directly below it, and further up from a deeper one.
    let depth = file.matches('/').count() - "crates/parlor/src/".matches('/').count();
    let own_depth = if file.ends_with("/mod.rs") {
        depth
    } else {
        depth + 1
    };
    if own_depth > 1 {
        let to_root = "super::".repeat(own_depth);
        found.extend(heads(&text, &to_root));
        if text.contains("super::") && heads(&text, &to_root).is_empty() {
            found.insert(module(file));
        }
    } else {
        found.extend(heads(&text, "super::"));
    }
    found
}

/// The doors that a file names.
fn doors_used(text: &str) -> BTreeSet<String> {
    let text = code(text);
    let named = heads(&text, "crate::door::")
        .into_iter()
        .chain(heads(&text, "super::"));
    named
        .filter(|name| DOOR_EDGES.iter().any(|(door, _)| door == name))
        .collect()
}

/// The identifiers that follow a path's beginning: one, or those at the top of a `{…}` group.
fn heads(text: &str, beginning: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(beginning) {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == ':') {
            continue;
        }
        let rest = text.get(at + beginning.len()..).unwrap_or_default();
        match rest.strip_prefix('{') {
            None => found.extend(identifier(rest)),
            Some(group) => found.extend(group_heads(group)),
        }
    }
    found
}

/// The first identifiers of the members of a group, whose opening brace is already gone.
fn group_heads(group: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut depth = 0;
    let mut fresh = true;
    for (at, letter) in group.char_indices() {
        match letter {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            letter if fresh && !letter.is_whitespace() => {
                found.extend(group.get(at..).and_then(identifier));
                fresh = false;
            }
            _ => {}
        }
    }
    found
}

fn identifier(text: &str) -> Option<String> {
    let name: String = text
        .chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

/// The text without comments, and without a module of tests at its end.
fn code(text: &str) -> String {
    let text = text
        .split("\n#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The module directly below the crate's root that a file belongs to.
fn module(file: &str) -> String {
    below(file, "crates/parlor/src/").unwrap_or_default()
}

fn below(file: &str, folder: &str) -> Option<String> {
    let (_, rest) = file.split_once(folder)?;
    identifier(rest)
}

fn is_test(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/")
}
