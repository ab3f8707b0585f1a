//! Tests against nginx's `limit_req`, if nginx is installed.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use commbox::{Batch, BatchOptions, Client, Options};

use super::faults::user;

struct Nginx {
    process: Child,
    port: u16,
    directory: PathBuf,
}

impl Nginx {
    /// Starts nginx with a limit of `rate` requests per second, without a burst.
    fn start(rate: u32) -> Self {
        let directory =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nginx-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        // Its workers may run as another user.
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {name};"))
            .join(" ");
        let reply =
            r#"{"status":200,"description":"Success","response_time":"now","data":{"Id":1.0}}"#;
        let configuration = format!(
            "daemon off; master_process off; worker_processes 1; pid pid; error_log error.log;
             events {{ worker_connections 256; }}
             http {{
                 access_log access.log; {temporary}
                 limit_req_zone $server_port zone=all:1m rate={rate}r/s;
                 limit_req zone=all;
                 limit_req_status 429;
                 server {{
                     listen 127.0.0.1:{port};
                     location / {{ try_files /none @update; }}
                     location @update {{ default_type application/json; return 200 '{reply}'; }}
                 }}
             }}"
        );
        let file = directory.join("nginx.conf");
        fs::write(&file, configuration).unwrap();
        let mut command = Command::new("nginx");
        command.args(["-p".as_ref(), directory.as_os_str(), "-c".as_ref(), file.as_os_str()]);
        command.args(["-e".as_ref(), directory.join("error.log").as_os_str()]);
        let process = command.stdin(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "nginx does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        Self { process, port, directory }
    }

    /// Returns the statuses of its responses.
    fn statuses(&self) -> Vec<String> {
        let log = fs::read_to_string(self.directory.join("access.log")).unwrap();
        log.lines()
            .filter_map(|line| Some(line.split("\" ").nth(1)?.split(' ').next()?.to_owned()))
            .collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn limit_req_without_burst() {
    if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_err() {
        // In Debian, the package is nginx-light. In CI, it must be installed.
        assert!(std::env::var_os("CI").is_none(), "nginx is not installed");
        println!("not run: nginx is not installed (Debian: nginx-light)");
        return;
    }
    let nginx = Nginx::start(50);
    let mut options = Options::default();
    options.base_url = format!("http://127.0.0.1:{}", nginx.port);
    options.proxy = Some(String::new());
    let batch =
        Batch::new(Arc::new(Client::new("key", &options).unwrap()), &BatchOptions::default())
            .unwrap();
    let began = Instant::now();
    let (updates, mut lost) = (600, 0);
    for number in 0..updates {
        batch.submit(number, 1_000 + number as i64, user(10), None).unwrap();
    }
    batch.close().unwrap();
    while let Some(finished) = batch.next(None).unwrap() {
        lost += usize::from(finished.outcome.is_err());
    }
    let took = began.elapsed();
    let statuses = nginx.statuses();
    let refused = statuses.iter().filter(|status| *status == "429").count();
    println!(
        "nginx at 50 a second: {updates} in {took:?}, {refused} of {} requests refused, {lost} lost",
        statuses.len()
    );
    assert_eq!(lost, 0);
    assert_eq!(statuses.len() - refused, updates as usize);
    assert!(refused as f64 <= 0.15 * statuses.len() as f64, "{refused}");
    // At least 12 s, and longer on a busy machine.
    assert!((Duration::from_secs(11)..Duration::from_secs(90)).contains(&took), "{took:?}");
}
