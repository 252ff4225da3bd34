use super::*;
use crate::arguments;

fn environment(pairs: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
    pairs
        .iter()
        .map(|&(name, value)| (name.into(), value.into()))
        .collect::<Vec<_>>()
        .into_iter()
}

fn gather(arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Options> {
    let line = ["parlor", "serve"]
        .into_iter()
        .chain(arguments.iter().copied());
    let matches = arguments::command().try_get_matches_from(line)?;
    let (_, matches) = matches.subcommand().context("serve")?;
    Options::gather(matches, environment(variables))
}

/// A file in a directory of its own, removed with it.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, text: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("parlor-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let path = dir.join("parlor.toml");
        std::fs::write(&path, text).expect("a file");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _gone = self.0.parent().map(std::fs::remove_dir_all);
    }
}

#[track_caller]
fn refuses_file(name: &str, text: &str, sentence: &str) {
    let file = TempFile::new(name, text);
    let error = gather(&["--config", file.path()], &[]).expect_err("must be refused");
    let told = format!("{error:#}");
    assert_eq!(told.replace(file.path(), "FILE"), sentence);
}

#[test]
fn without_sources_the_defaults_hold() {
    assert_eq!(gather(&[], &[]).unwrap(), Options::default());
}

#[test]
fn an_argument_wins_over_a_variable_over_the_file() {
    let file = TempFile::new(
        "precedence",
        "shards = 2\nping-interval = \"1s\"\nmessage_bytes_max = 4096\nlog = \"json\"\n\
         origin = [\"http://a.example\", \"http://b.example\"]\n",
    );
    let variables = [
        ("PARLOR_PING_INTERVAL", "2s"),
        ("PARLOR_MESSAGE_BYTES_MAX", "8KiB"),
    ];
    let arguments = ["--config", file.path(), "--message-bytes-max", "1MiB"];
    let options = gather(&arguments, &variables).unwrap();
    assert_eq!(options.config.shard_count(), 2);
    assert_eq!(options.config.ping_interval.as_secs(), 2);
    assert_eq!(options.config.message_bytes_max, 1 << 20);
    assert_eq!(
        options.config.origins,
        ["http://a.example", "http://b.example"]
    );
    assert_eq!(options.log.format, log::Format::Json);
}

#[test]
fn a_repeated_argument_replaces_the_list_of_a_variable() {
    let arguments = ["--listen", "127.0.0.1:1", "--listen", "[::1]:2"];
    let options = gather(&arguments, &[("PARLOR_LISTEN", "127.0.0.1:3")]).unwrap();
    let expected = ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()];
    assert_eq!(options.config.listen, expected);
}

#[test]
fn a_variable_may_name_the_file() {
    let file = TempFile::new("named", "shards = 5");
    let options = gather(&[], &[("PARLOR_CONFIG", file.path())]).unwrap();
    assert_eq!(options.config.shard_count(), 5);
}

#[test]
fn switches_may_be_booleans() {
    let file = TempFile::new("switch", "socketio = false\nsocketio_jsonp = true\n");
    let arguments = ["--config", file.path(), "--socketio-echo", "false"];
    let options = gather(&arguments, &[("PARLOR_SOCKETIO_UPGRADES", "false")]).unwrap();
    let socketio = options.config.socketio;
    assert!(!socketio.served && !socketio.echo && !socketio.engine.upgrades);
    assert!(socketio.engine.jsonp);
}

#[test]
fn what_kubernetes_sets_is_passed_over() {
    let links = [
        ("PARLOR_PORT", "tcp://10.0.0.1:8080"),
        ("PARLOR_SERVICE_HOST", "10.0.0.1"),
        ("PARLOR_SERVICE_PORT_HTTP", "8080"),
        ("PARLOR_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("PARLOR_CHAT_SERVICE_HOST", "10.0.0.2"),
        ("PARLOR_CHAT_PORT", "tcp://10.0.0.2:80"),
    ];
    assert_eq!(gather(&[], &links).unwrap(), Options::default());
}

#[test]
fn no_setting_looks_like_a_service_link() {
    assert!(rows().all(|row| !is_service_link(&row.key.to_ascii_uppercase())));
}

#[test]
fn wrong_variables_and_arguments_are_named() {
    let told = |result: anyhow::Result<Options>| format!("{:#}", result.expect_err("refused"));
    assert_eq!(
        told(gather(&[], &[("PARLOR_SHARD", "1")])),
        "PARLOR_SHARD is not a setting, did you mean `PARLOR_SHARDS`?"
    );
    assert_eq!(
        told(gather(&[], &[("PARLOR_SHARDS", "no")])),
        "PARLOR_SHARDS cannot be `no`: expected a whole number"
    );
    assert_eq!(
        told(gather(&["--deflate", "maybe"], &[])),
        "--deflate cannot be `maybe`: expected off, shared or takeover"
    );
    assert_eq!(
        told(gather(&[], &[("PARLOR_CONFIG", "")])),
        "PARLOR_CONFIG names no file"
    );
    assert!(gather(&["--log-level", "verbose"], &[]).is_err());
    assert!(gather(&["--log-level", "warn,parlor=debug"], &[]).is_ok());
    assert_eq!(
        told(gather(&["--log-level", "loud,quiet=="], &[])),
        "--log-level cannot be `loud,quiet==`: expected error, warn, info, debug, trace or a list \
         such as warn,parlor=debug"
    );
}

#[test]
fn wrong_files_are_refused_with_file_and_line() {
    refuses_file(
        "unknown",
        "shards = 1\n\ncolour = \"red\"\n",
        "FILE, line 3: there is no setting `colour`",
    );
    refuses_file(
        "near",
        "pingInterval = \"1s\"\n",
        "FILE, line 1: there is no setting `pingInterval`, did you mean `ping_interval`?",
    );
    refuses_file(
        "value",
        "\nshards = 0\n",
        "FILE, line 2: `shards` cannot be `0`: expected 1 to 1024",
    );
    refuses_file(
        "type",
        "shards = true\n",
        "FILE, line 1: `shards` cannot be `true`: expected a whole number",
    );
    refuses_file(
        "fraction",
        "shards = 2.5\n",
        "FILE, line 1: `shards` cannot be `2.5`: expected a whole number",
    );
    refuses_file(
        "date",
        "shards = 2026-11-20\n",
        "FILE, line 1: `shards` cannot be of this type: expected a string or a number, found datetime",
    );
    refuses_file(
        "list",
        "shards = [\"1\"]\n",
        "FILE, line 1: `shards` cannot be of this type: expected a string or a number, found array",
    );
    refuses_file(
        "twice",
        "ping_interval = \"1s\"\nping-interval = \"2s\"\n",
        "FILE, line 2: `ping-interval` is given twice",
    );
    refuses_file(
        "table",
        "[server]\nshards = 1\n",
        "FILE, line 1: there is no setting `server`",
    );
}

#[test]
fn a_file_that_is_not_toml_is_refused_in_one_line() {
    let file = TempFile::new("syntax", "shards = 1\nping_interval = 10s\n");
    let error = gather(&["--config", file.path()], &[]).expect_err("must be refused");
    let told = format!("{error:#}");
    assert!(
        told.contains("parlor.toml, line 2: ") && !told.contains('\n'),
        "{told}"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = gather(&["--config", "/nowhere/parlor.toml"], &[]).expect_err("must be refused");
    assert_eq!(
        format!("{error:#}"),
        "cannot read the configuration file /nowhere/parlor.toml: No such file or directory (os \
         error 2)"
    );
}

#[test]
fn rules_for_rooms_differ_in_what_they_name() {
    let file = TempFile::new(
        "rooms",
        "history_messages = 5\n\n[[rooms]]\npattern = \"chat-*\"\nhistory-messages = 10\n\
         slow = \"conflate\"\n\n[[rooms]]\npattern = \"*\"\nhistory_age = \"1s\"\n",
    );
    let arguments = ["--config", file.path(), "--history-bytes", "64KiB"];
    let config = gather(&arguments, &[]).unwrap().config;
    let mut chat = config.room_rule("chat-*");
    chat.history_messages = 10;
    chat.slow = config::SlowPolicy::Conflate;
    let mut rest = config.room_rule("*");
    rest.history_age = std::time::Duration::from_secs(1);
    assert_eq!(config.rooms, [chat, rest]);
    assert_eq!((config.history_messages, config.history_bytes), (5, 65_536));
}

#[test]
fn wrong_rules_for_rooms_are_refused_with_file_and_line() {
    refuses_file(
        "rooms-unknown",
        "shards = 1\n[[rooms]]\npattern = \"a\"\nhistory_mesages = 1\n",
        "FILE, line 4: a rule for rooms has no `history_mesages`, did you mean `history_messages`?",
    );
    refuses_file(
        "rooms-elsewhere",
        "[[rooms]]\npattern = \"a\"\nshards = 1\n",
        "FILE, line 3: a rule for rooms has no `shards`",
    );
    refuses_file(
        "rooms-value",
        "[[rooms]]\npattern = \"a\"\n\n[[rooms]]\npattern = \"b\"\nslow = \"wait\"\n",
        "FILE, line 6: `slow` cannot be `wait`: expected drop-low, conflate or close",
    );
    refuses_file(
        "rooms-twice",
        "[[rooms]]\npattern = \"a\"\nhistory_age = \"1s\"\nhistory-age = \"2s\"\n",
        "FILE, line 4: `history-age` is given twice",
    );
    refuses_file(
        "rooms-pattern",
        "[[rooms]]\npattern = \"\"\n",
        "FILE, line 1: `pattern` cannot be ``: expected 1 to 128 bytes without control characters",
    );
    refuses_file(
        "rooms-none",
        "\n[[rooms]]\nslow = \"close\"\n",
        "FILE, line 2: a rule for rooms has a `pattern`",
    );
    for text in [
        "rooms = 1\n",
        "[rooms]\npattern = \"a\"\n",
        "rooms = [\"a\"]\n",
    ] {
        refuses_file(
            "rooms-shape",
            text,
            "FILE, line 1: rules for rooms are tables that begin with `[[rooms]]`",
        );
    }
}
