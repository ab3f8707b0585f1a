// A server on a loopback port for the examples in the crate's documentation. Each example includes
// this file in a hidden line. The server confirms every update, except for user 404, who does not
// exist.

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// Starts a server and returns the options of a client for it.
#[allow(dead_code, reason = "an example uses one of the two functions")]
pub fn options() -> commbox::Options {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let address = listener.local_addr().expect("the port is known");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(&stream));
        }
    });
    let mut options = commbox::Options::default();
    options.base_url = format!("http://{address}");
    options.proxy = Some(String::new());
    options
}

/// Returns a client of such a server.
#[allow(dead_code, reason = "an example uses one of the two functions")]
pub fn client() -> commbox::Client {
    commbox::Client::new("my-api-key", &options()).expect("the options are valid")
}

/// Answers every request on a connection.
fn serve(stream: &TcpStream) -> Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut request, mut length) = (String::new(), 0);
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;

        let (status, reason, description) = match request.contains("/404 ") {
            true => (404, "Not Found", "User not found"),
            false => (200, "OK", "Success"),
        };
        let reply = format!(
            r#"{{"status":{status},"description":"{description}","response_time":"1/1/2026 10:00:00 AM","data":{{"Id":1}}}}"#
        );
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nX-Request-Id: 7f3a\r\nContent-Length: {}\r\n\r\n",
            reply.len()
        );
        (&mut &*stream).write_all(format!("{head}{reply}").as_bytes())?;
    }
}
