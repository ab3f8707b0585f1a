//! Processes that share the state of one rate limiter: a `rate_group`.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use commbox::{Batch, BatchOptions, Client, ErrorKind, Options};

use super::faults::user;
use super::real::serve;
use super::seconds;
use super::servers::{Answer, Bucket};

/// Contains the task of a process that this test program starts.
const ROLE: &str = "COMMBOX_STORM_ROLE";

/// A directory for the state, and the group's name.
struct Group {
    directory: PathBuf,
    name: String,
}

impl Group {
    fn new(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("group-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
        Self { directory, name: name.into() }
    }

    fn file(&self) -> PathBuf {
        self.directory.join("commbox").join(format!("{}.rate", self.name))
    }

    /// Starts a process of the group. `role` is `send URL FIRST NUMBER` or `hold FILE`.
    fn start(&self, role: &str) -> Child {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "processes::another_process", "--nocapture"]);
        command
            .env(ROLE, role)
            .env("XDG_RUNTIME_DIR", &self.directory)
            .env("COMMBOX_STORM_GROUP", &self.name);
        command.stdout(Stdio::piped()).spawn().unwrap()
    }
}

/// Does the work of the processes that the other tests start.
#[test]
fn another_process() {
    let Ok(role) = env::var(ROLE) else {
        return;
    };
    match role.split_once(' ').unwrap() {
        ("send", what) => {
            let what: Vec<_> = what.split(' ').collect();
            send(what[0], what[1].parse().unwrap(), what[2].parse().unwrap());
        }
        ("hold", file) => {
            let file = File::open(file).unwrap();
            // SAFETY: the file is open.
            assert_eq!(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) }, 0);
            println!("held");
            thread::sleep(seconds(3600));
        }
        _ => panic!("{role}"),
    }
}

fn send(url: &str, first: i64, number: u64) {
    let mut options = Options::default();
    options.base_url = url.into();
    options.proxy = Some(String::new());
    options.rate_group = env::var("COMMBOX_STORM_GROUP").ok();
    let batch =
        Batch::new(Arc::new(Client::new("key", &options).unwrap()), &BatchOptions::default())
            .unwrap();
    for number in 0..number {
        batch.submit(number, first + number as i64, user(10), None).unwrap();
    }
    batch.close().unwrap();
    let mut lost = 0;
    while let Some(finished) = batch.next(None).unwrap() {
        lost += usize::from(finished.outcome.is_err());
    }
    println!("{lost} lost");
}

fn ended(child: Child) -> Output {
    child.wait_with_output().unwrap()
}

fn assert_none_lost(child: Child) {
    let output = ended(child);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.contains("0 lost"), "{told}");
}

#[test]
fn processes_of_a_group_share_one_rate_even_if_one_is_killed() {
    let group = Group::new("shared");
    let (server, notes) = serve(Bucket::new(100.0, 20.0));
    let mut children: Vec<_> = (0..5)
        .map(|number| group.start(&format!("send {} {} 150", server.url(), 1000 * (number + 1))))
        .collect();
    // Any moment will do: the other processes still have to send more than half of their updates.
    thread::sleep(Duration::from_millis(1500));
    let mut killed = children.pop().unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    children.into_iter().for_each(assert_none_lost);
    let notes = notes.lock().unwrap();
    let refused = notes.iter().filter(|(_, answer)| *answer != Answer::Accepted).count();
    println!("5 processes of a group, one killed: {refused} of {} requests refused", notes.len());
    assert!(refused as f64 <= 0.1 * notes.len() as f64, "{refused} of {}", notes.len());
}

#[test]
fn a_process_that_holds_the_lock_delays_no_other_and_may_end() {
    let group = Group::new("held");
    let (server, _notes) = serve(Bucket::new(1000.0, 1000.0));
    let send =
        |first: u32| assert_none_lost(group.start(&format!("send {} {first} 20", server.url())));
    send(1000);
    let before = fs::read(group.file()).unwrap();
    let mut holder = group.start(&format!("hold {}", group.file().display()));
    let told = BufReader::new(holder.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(told.into_iter().any(|line| line.contains("held")));
    send(2000);
    assert!(fs::read(group.file()).unwrap() == before, "the lock is not ours");
    // The process that holds the lock crashes.
    holder.kill().unwrap();
    holder.wait().unwrap();
    send(3000);
    assert!(fs::read(group.file()).unwrap() != before, "the state is shared again");
    let mode = fs::metadata(group.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn an_invalid_state_is_ignored() {
    let group = Group::new("nonsense");
    let (server, _notes) = serve(Bucket::new(1000.0, 1000.0));
    let send =
        |first: u32| assert_none_lost(group.start(&format!("send {} {first} 20", server.url())));
    send(1000);
    for nonsense in [&b""[..], b"x", &[0xff; 4096]] {
        fs::write(group.file(), nonsense).unwrap();
        send(2000);
    }
    fs::remove_file(group.file()).unwrap();
    send(3000);
    assert!(group.file().exists());
    // Other users could write to the file.
    fs::set_permissions(group.file(), fs::Permissions::from_mode(0o666)).unwrap();
    let output = ended(group.start(&format!("send {} 4000 20", server.url())));
    assert!(!output.status.success());
}

#[test]
fn a_group_name_cannot_be_a_path() {
    for name in ["", "a/b", "..", ".hidden", "ü", &"n".repeat(65)] {
        let mut options = Options::default();
        options.rate_group = Some(name.into());
        let error = Client::new("key", &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOptions, "{name}");
        assert!(error.to_string().starts_with("rate_group must have 1 to 64 letters"), "{error}");
    }
}
