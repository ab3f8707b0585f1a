//! The sandbox's HTTP interface: the documented call, and calls that inspect and script it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderValue, AUTHORIZATION, CONTENT_TYPE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde::Serialize;

use super::limit::Limit;
use super::payload::{Fault, Payload};
use super::rules::{self, User};
use super::script::{self, Answer};

/// An offline CommBox.
pub struct Sandbox {
    authorization: String,
    limit: Option<RefCell<Limit>>,
    record: bool,
    state: RefCell<State>,
}

/// The state that `POST /sandbox/reset` clears.
struct State {
    users: HashMap<i64, User>,
    script: VecDeque<Answer>,
    requests: Vec<Recorded>,
    since: Instant,
}

impl State {
    fn new() -> Self {
        Self {
            users: HashMap::new(),
            script: VecDeque::new(),
            requests: Vec::new(),
            since: Instant::now(),
        }
    }
}

/// A request as it was received.
#[derive(Serialize)]
struct Recorded {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: String,
    at_ms: u128,
}

/// The meaning of a path.
enum Route {
    /// `…/users/{id}`; `None` if the id is not valid.
    User(Option<i64>),
    Script,
    Requests,
    Reset,
    Unknown,
}

impl Route {
    fn of(path: &str) -> Self {
        match path {
            "/sandbox/script" => Self::Script,
            "/sandbox/requests" => Self::Requests,
            "/sandbox/reset" => Self::Reset,
            _ => {
                let mut segments = path.rsplit('/');
                match (segments.next(), segments.next()) {
                    (Some(id), Some("users")) => Self::User(id.parse().ok().filter(|id| *id > 0)),
                    _ => Self::Unknown,
                }
            }
        }
    }
}

impl Sandbox {
    pub fn new(api_key: String, limit: Option<(f64, u32)>, record: bool) -> Self {
        let limit = limit.map(|(rate, burst)| RefCell::new(Limit::new(rate, burst)));
        let authorization = format!("Bearer {api_key}");
        Self { authorization, limit, record, state: RefCell::new(State::new()) }
    }

    /// Answers one request, or returns how the connection ends instead.
    pub async fn answer(&self, request: Request<Incoming>) -> Result<Response<Payload>, Fault> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Fault::Gone)?.to_bytes();
        Ok(match (&head.method, Route::of(head.uri.path())) {
            (&Method::POST, Route::User(id)) => return self.update(id, &head, &body).await,
            (&Method::GET, Route::User(Some(id))) => self.show(id),
            (&Method::POST, Route::Script) => self.extend_script(&body),
            (&Method::GET, Route::Requests) => self.list_requests(),
            (&Method::POST, Route::Reset) => {
                self.state.replace(State::new());
                respond(StatusCode::NO_CONTENT, String::new())
            }
            _ => respond(StatusCode::NOT_FOUND, rules::envelope(StatusCode::NOT_FOUND, None)),
        })
    }

    /// Answers the documented call.
    async fn update(
        &self,
        id: Option<i64>,
        head: &Parts,
        body: &Bytes,
    ) -> Result<Response<Payload>, Fault> {
        let answer = {
            let mut state = self.state.borrow_mut();
            if self.record {
                let at_ms = state.since.elapsed().as_millis();
                state.requests.push(Recorded {
                    method: head.method.to_string(),
                    path: head.uri.path().to_owned(),
                    headers: headers(&head.headers),
                    body: String::from_utf8_lossy(body).into_owned(),
                    at_ms,
                });
            }
            state.script.pop_front()
        };
        let answer = match (answer, &self.limit) {
            (Some(answer), _) => answer,
            (None, Some(limit)) => match limit.borrow_mut().take(Instant::now()) {
                Ok(()) => Answer::default(),
                Err(seconds) => Answer::throttled(seconds),
            },
            (None, None) => Answer::default(),
        };
        tokio::time::sleep(answer.delay()).await;
        if answer.is_reset() {
            return Err(Fault::Reset);
        }
        Ok(answer.respond(id, || {
            let status = self.apply(id, &head.headers, body);
            (status, rules::envelope(status, id))
        }))
    }

    /// Updates a user by the documented rules.
    fn apply(&self, id: Option<i64>, headers: &HeaderMap, body: &Bytes) -> StatusCode {
        if headers
            .get(AUTHORIZATION)
            .is_none_or(|value| value.as_bytes() != self.authorization.as_bytes())
        {
            return StatusCode::UNAUTHORIZED;
        }
        let Some(id) = id else {
            return StatusCode::NOT_FOUND;
        };
        let Some(update) = rules::read_update(body) else {
            return StatusCode::BAD_REQUEST;
        };
        self.state.borrow_mut().users.entry(id).or_default().apply(update);
        StatusCode::OK
    }

    fn show(&self, id: i64) -> Response<Payload> {
        let state = self.state.borrow();
        let shown = state
            .users
            .get(&id)
            .map_or_else(|| rules::show(id, &User::default()), |user| rules::show(id, user));
        respond(StatusCode::OK, shown)
    }

    fn extend_script(&self, body: &Bytes) -> Response<Payload> {
        match script::read(body) {
            Ok(answers) => {
                self.state.borrow_mut().script.extend(answers);
                respond(StatusCode::NO_CONTENT, String::new())
            }
            Err(why) => {
                let mut response = respond(StatusCode::BAD_REQUEST, why + "\n");
                response
                    .headers_mut()
                    .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
                response
            }
        }
    }

    fn list_requests(&self) -> Response<Payload> {
        let requests = serde_json::to_string(&self.state.borrow().requests)
            .expect("text and numbers serialise");
        respond(StatusCode::OK, requests)
    }
}

fn respond(status: StatusCode, json: String) -> Response<Payload> {
    let has_body = !json.is_empty();
    let mut response = Response::new(Payload::from(json));
    *response.status_mut() = status;
    if has_body {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

/// Returns headers by name. Repeated ones are joined, as HTTP allows.
fn headers(map: &HeaderMap) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (name, value) in map {
        let text = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.to_string())
            .and_modify(|joined: &mut String| *joined = format!("{joined}, {text}"))
            .or_insert_with(|| text.into_owned());
    }
    headers
}
