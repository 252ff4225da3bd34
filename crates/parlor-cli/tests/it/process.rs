//! Starting, reading and stopping the binary.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The binary with these arguments and none of our environment's settings.
pub(crate) fn parlor(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlor"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PARLOR_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    parlor(arguments).output().expect("the binary runs")
}

/// What it said on standard error.
pub(crate) fn complaint(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// A port that the system gives to no connection: an attempt while nobody listens would else meet
/// itself now and then, and keep the port.
pub(crate) fn quiet_port() -> String {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let process = usize::try_from(std::process::id()).expect("32 bits");
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    (10_000..30_000)
        .step_by(7)
        .skip((process + 97 * call) % 2000)
        .map(|port| format!("127.0.0.1:{port}"))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("a free port")
}

/// A running `parlor serve`, killed when dropped.
pub(crate) struct Server {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    /// What it printed up to the line that names the address.
    pub(crate) lines: Vec<String>,
}

impl Server {
    /// Starts on a free port and waits until it listens.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", arguments)
    }

    /// The same at an address.
    pub(crate) fn start_at(address: &str, arguments: &[&str]) -> Self {
        let arguments = [&["serve", "--listen", address], arguments].concat();
        Self::read_from(parlor(&arguments))
    }

    /// The same on a free port, with so many descriptors.
    pub(crate) fn start_with_descriptors(count: usize, arguments: &[&str]) -> Self {
        let arguments = [&["serve", "--listen", "127.0.0.1:0"], arguments].concat();
        let program = parlor(&arguments);
        let mut shell = Command::new("sh");
        let limited = format!("ulimit -n {count} && exec \"$0\" \"$@\"");
        shell.args(["-c", &limited]).arg(program.get_program());
        shell.args(program.get_args()).stdin(Stdio::null());
        for (name, _) in program.get_envs() {
            shell.env_remove(name);
        }
        Self::read_from(shell)
    }

    fn read_from(mut command: Command) -> Self {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut server = Self {
            child,
            stderr,
            address: String::new(),
            lines: Vec::new(),
        };
        while server.address.is_empty() {
            server.read_line();
        }
        server
    }

    fn read_line(&mut self) {
        let mut line = String::new();
        let length = self.stderr.read_line(&mut line).expect("readable");
        assert!(length > 0, "it ended before it listened: {:?}", self.lines);
        if let Some((_, rest)) = line.split_once("listening on http://") {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
            rest.split_at(end.unwrap_or(rest.len()))
                .0
                .clone_into(&mut self.address);
        }
        self.lines.push(line.trim_end().to_owned());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal (`TERM`, `INT`), waits for the end, gives the exit code and the rest of what
    /// it printed.
    pub(crate) fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        let pid = self.pid().to_string();
        let kill = Command::new("kill")
            .args(["-s", signal, &pid])
            .status()
            .expect("kill runs");
        assert!(kill.success());
        let status = self.child.wait().expect("it ends");
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).expect("UTF-8");
        (status.code(), rest)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
