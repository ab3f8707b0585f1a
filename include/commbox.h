/*
 * commbox: updates a customer's record in CommBox, POST /users/{USER_ID}.
 *
 * The call, in C:
 *
 *     commbox_client *client = commbox_client_new("my-api-key", NULL);
 *     int32_t code = commbox_update_user_json(client, 94382332, "{\"FirstName\": \"John\"}", NULL);
 *     if (code != COMMBOX_OK) fprintf(stderr, "%s\n", commbox_last_error());
 *     commbox_client_free(client);
 *
 * Text        NUL-terminated UTF-8, in and out. What goes in is copied. What comes out is const and
 *             belongs to the library, or is a char * that the caller frees with
 *             commbox_string_free(), never with free().
 *
 * Handles     commbox_client *, commbox_options *, commbox_user * and commbox_batch * are opaque.
 *             Never dereference them. One that is NULL, freed, freed twice or made up gives COMMBOX_INVALID_HANDLE.
 *             Each is freed once, with the function of its type; freeing NULL does nothing.
 *
 * Errors      Functions that return int32_t return a code: 0 is COMMBOX_OK; negative codes come from
 *             this side; from 100 up the server answered, and the code is the HTTP status. Functions
 *             that return a pointer return NULL on failure. Output parameters are written on every
 *             path: NULL on failure. commbox_last_error() tells this thread's last failure in a
 *             sentence, commbox_last_error_json() everything that is known. No function prints,
 *             exits, or lets a panic out. 1 to 99 are kept for outcomes that are no errors; codes
 *             may be added, so treat one that is not listed here by its sign.
 *
 * Accessors   The functions commbox_last_*() and commbox_code_*(), commbox_version(),
 *             commbox_abi_version() and those that free leave the last error as it is (freeing a
 *             handle that is none sets it). Every other function sets it, or clears it where it
 *             succeeds; commbox_batch_next() sets it to that of the update that it returns.
 *
 * Threads     Every function may be called from any thread at any time, also with the same handle.
 *             The last error is each thread's own. The library has no threads of its own, apart
 *             from one that lasts as long as a name lookup, and those of a batch; these block all
 *             signals but those of a fault. Clients and users stay good on both sides of a fork():
 *             the child makes connections of its own. A batch belongs to the process that made it.
 *
 * Signals     No function is async-signal-safe. In a handler set a flag that the callback of
 *             commbox_client_set_interrupt() reads, which ends a call within 100 ms; or take the
 *             signal on a thread of its own with sigwait(), which may call commbox_client_cancel()
 *             and commbox_batch_cancel().
 *
 * Privacy     The API key and the user's values stand in no message. Redirects are not followed:
 *             they go to the configured host only.
 *
 * The API's facts (fields, limits, replies) are those of the vendor's OpenAPI document, version 2.07.
 *
 * Made by cbindgen from src/ffi: change it there. Licence: MIT.
 */


#ifndef COMMBOX_H
#define COMMBOX_H

#include <stdint.h>

/**
 * What commbox_abi_version() returns for the library that this header belongs to.
 */
#define COMMBOX_ABI_VERSION 1

/**
 * The call succeeded.
 */
#define COMMBOX_OK 0

/**
 * A batch is closed, and everything was taken back from it.
 */
#define COMMBOX_DONE 1

/**
 * NULL where it may not be, text that is not UTF-8, a user id below 1, an API key with a blank or control character.
 */
#define COMMBOX_INVALID_ARGUMENT -1

/**
 * A client, user or batch that was never made, or is already freed.
 */
#define COMMBOX_INVALID_HANDLE -2

/**
 * Options that are not a JSON object, name an unknown key, or leave a bound.
 */
#define COMMBOX_INVALID_OPTIONS -3

/**
 * The user is not what the API takes. Nothing was sent.
 */
#define COMMBOX_INVALID_USER -4

/**
 * Name lookup, connect, proxy, or a connection that broke.
 */
#define COMMBOX_CONNECTION -5

/**
 * The certificate or the TLS handshake.
 */
#define COMMBOX_TLS -6

/**
 * The time allowed has passed.
 */
#define COMMBOX_TIMEOUT -7

/**
 * The call was cancelled, or its interrupt said so.
 */
#define COMMBOX_CANCELLED -8

/**
 * An answer that is not the documented JSON, or is larger than 1 MiB.
 */
#define COMMBOX_BAD_RESPONSE -9

/**
 * A bug of this library was caught, or the system has no thread for a batch. The client stays usable.
 */
#define COMMBOX_INTERNAL -10

/**
 * The server's rate limit holds the call back past its deadline. Nothing was sent; `retry_after_ms` is set.
 */
#define COMMBOX_THROTTLED -11

/**
 * The server did not take the fields or their values.
 */
#define COMMBOX_BAD_REQUEST 400

/**
 * The API key is wrong, expired, or not allowed to do this.
 */
#define COMMBOX_UNAUTHORIZED 401

/**
 * No user has this id.
 */
#define COMMBOX_NOT_FOUND 404

/**
 * Too many requests in a short time.
 */
#define COMMBOX_RATE_LIMITED 429

/**
 * The server failed.
 */
#define COMMBOX_SERVER_ERROR 500

/**
 * The server does not support the call.
 */
#define COMMBOX_NOT_IMPLEMENTED 501

/**
 * The request may have arrived at the server, and no full answer came.
 */
#define COMMBOX_DELIVERY_UNKNOWN 0

/**
 * No byte of the request left this process.
 */
#define COMMBOX_DELIVERY_NOT_SENT 1

/**
 * The server answered.
 */
#define COMMBOX_DELIVERY_ANSWERED 2

/**
 * Many updates at once: a queue with workers in front of a client, and a queue of what came of them. A handle.
 */
typedef struct commbox_batch commbox_batch;

/**
 * A client: one API key, one set of options, connections that stay open between calls. A handle.
 */
typedef struct commbox_client commbox_client;

/**
 * Options, for programs that would have to put JSON together otherwise. A handle.
 */
typedef struct commbox_options commbox_options;

/**
 * A user's fields on the way to becoming JSON, for programs without a JSON library. A handle.
 */
typedef struct commbox_user commbox_user;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library, `MAJOR.MINOR.PATCH`. A constant: never NULL, never freed. An accessor.
 */
const char *commbox_version(void);

/**
 * The version of the binary interface, #COMMBOX_ABI_VERSION when the library was built. It rises when a program
 * that was compiled before would break; compare it where the library is loaded at run time. An accessor.
 */
uint32_t commbox_abi_version(void);

/**
 * Makes a client. Nothing is sent and no connection is made before the first call. One client for a whole program is
 * best: its threads then share its connections.
 *
 * @param api_key       The key that CommBox issued, without the word "Bearer". Copied. NULL: the key
 *                      in the environment variable `COMMBOX_API_KEY`, read now.
 * @param options_json  A JSON object of options, or NULL or "" for the defaults. Copied. An unknown key is an error
 *                      that names the nearest known one; null keeps a default.
 *
 * | key | default | meaning |
 * | --- | --- | --- |
 * | `base_url` | `COMMBOX_BASE_URL` if that is set, otherwise `"https://api.commbox.io"` | may have a path prefix;
 *   `http` only to loopback unless `allow_http` |
 * | `allow_http` | `false` | allow `http` to any host: key and data then travel in the clear |
 * | `connect_timeout_ms` | 5000 | of lookup, connect and TLS handshake; 1 to 86400000 |
 * | `attempt_timeout_ms` | 15000 | of one attempt; 1 to 86400000 |
 * | `total_timeout_ms` | 60000 | of a call, all included; 1 to 86400000 |
 * | `max_retries` | 3 | maximum number of retries after a transient failure; a 429 counts as none; 0 to 100 |
 * | `retry_base_ms`, `retry_cap_ms` | 500, 8000 | the wait before that: random, below a bound that doubles from the
 *   base to the cap; 1 to 86400000 |
 * | `max_requests_per_second` | 0 | 0 = no limit, else 0.001 to 1000000; over all threads, evenly spaced |
 * | `order_per_user` | `true` | calls for one user leave one at a time in the order in which they were made, over
 *   direct calls and batches, retries included |
 * | `rate_group` | `null` | a name: processes of the same user on one machine that name the same group share one rate
 *   limit; 1 to 64 letters, digits, `.`, `_`, `-`, no `.` first; Unix only |
 * | `max_idle_connections` | 16 | connections kept open; 0 to 1024 |
 * | `idle_timeout_ms` | 60000 | how long an unused one is kept, which the next call looks at; 0 to 86400000 |
 * | `dns_ttl_ms` | 60000 | how long a name lookup is remembered; 0 to 86400000 |
 * | `proxy` | `null` | a URL; `""`: none; `null`: the environment's, for `http` without `allow_http` if on loopback |
 * | `ca_file` | `null` | PEM file of certificates to trust beside the system's |
 * | `client_cert_file` | `null` | PEM file with the certificate for servers that ask for one, and those between it and its authority |
 * | `client_key_file` | `null` | PEM file with its key, not encrypted; `null` if the key is in `client_cert_file` |
 * | `validate` | `true` | check the user before it is sent |
 * | `unknown_fields` | `"refuse"` | `"refuse"` refuses fields that the API does not document, for it drops them without a
 *   word; `"allow"` sends them |
 * | `custom_fields` | `null` | an array of the Unique Names of the account's custom fields: those inside `Content` must be
 *   among them; `null`: any |
 * | `user_agent` | `null` | appended to `commbox/<version>` |
 * | `headers` | `{}` | an object of further headers for each request, such as a gateway's key; at most 32, names of 1 to
 *   64 characters, values of up to 4096 visible ASCII characters; not those that the library sets, `Content-…` or
 *   `Proxy-…` |
 * | `request_id_header` | `null` | the header of answers that holds the request id; `X-Request-Id`, `Request-Id` and
 *   `X-Correlation-Id` are looked at after it |
 *
 * @return The client, to be freed with commbox_client_free(); NULL on failure: #COMMBOX_INVALID_ARGUMENT for the
 *         key, #COMMBOX_INVALID_OPTIONS for the options, which name every problem at once.
 */
commbox_client *commbox_client_new(const char *api_key,
                                   const char *options_json);

/**
 * The same with options of commbox_options_new().
 *
 * @param api_key  As for commbox_client_new(), or NULL.
 * @param options  The options; NULL for the defaults. Copied. Those of a batch or a call alone are an error.
 * @return As of commbox_client_new(); NULL for #COMMBOX_INVALID_HANDLE too.
 */
commbox_client *commbox_client_new_with(const char *api_key,
                                        commbox_options *options);

/**
 * Frees a client. It never waits and never sends; calls in flight on other threads finish as if nothing happened.
 *
 * @param client  The client. NULL is fine, and so is a client in use. A handle that is already freed is #COMMBOX_INVALID_HANDLE in
 *                commbox_last_error_json(), and nothing happens.
 */
void commbox_client_free(commbox_client *client);

/**
 * Puts another API key in the place of the client's present one. It takes effect for every attempt that starts from
 * now on, on any thread.
 *
 * @param client   The client.
 * @param api_key  The new key. Copied.
 * @return #COMMBOX_OK, #COMMBOX_INVALID_HANDLE, or #COMMBOX_INVALID_ARGUMENT: the present key then stays.
 */
int32_t commbox_client_set_api_key(commbox_client *client,
                                   const char *api_key);

/**
 * Sets `max_requests_per_second` of a client, for every request from now on, those of waiting calls included. A
 * program can divide a limit among its processes with this.
 *
 * @param client               The client.
 * @param max_requests_per_second  The rate, 0.001 to 1000000; 0 removes the limit.
 * @return #COMMBOX_OK, #COMMBOX_INVALID_HANDLE, or #COMMBOX_INVALID_ARGUMENT: the present limit then stays.
 */
int32_t commbox_client_set_max_requests_per_second(commbox_client *client,
                                                   double max_requests_per_second);

/**
 * Cancels every call that is in flight on the client now, on any thread, wherever it waits: each returns
 * #COMMBOX_CANCELLED within 100 ms. Calls that begin later work as before.
 *
 * It is not async-signal-safe, for it wakes the threads that wait. In a signal handler, set a flag for the callback of
 * commbox_client_set_interrupt().
 *
 * @param client  The client.
 * @return #COMMBOX_OK or #COMMBOX_INVALID_HANDLE.
 */
int32_t commbox_client_cancel(commbox_client *client);

/**
 * Has calls ask whether to go on. While a call waits, it calls `poll` at least every 100 ms, on the thread that made
 * the call; not 0 ends that call with #COMMBOX_CANCELLED. It holds for calls that begin from now on.
 *
 * @param client   The client.
 * @param poll     The question; NULL asks no more. It must return, and may call any function of this library.
 * @param context  Given to `poll` as it is, from any thread that makes a call. It must stay good until the last call
 *                 that began with it has returned.
 * @return #COMMBOX_OK or #COMMBOX_INVALID_HANDLE.
 */
int32_t commbox_client_set_interrupt(commbox_client *client,
                                     int32_t (*poll)(void *context),
                                     void *context);

/**
 * Tells a callback what the client does, as it happens. The callback runs on the thread where it happens: that of a call,
 * or of a batch. No lock is held. It may call any function of this library; what these calls do is not told. While no
 * log is set, it costs nothing.
 *
 * No event holds an API key, a header's value or a value of a user. `event` in the JSON object is one of the names below,
 * `level` its level's name, and `call` the number of the call that it belongs to, counted from 1. Pauses, a rejected key
 * and the like are one event each, not one for each call.
 *
 * | level | events |
 * | --- | --- |
 * | 1 | `outage_began`, `key_rejected` |
 * | 2 | `call_failed`, `throttled` |
 * | 3 | `retry`, `resumed` |
 * | 4 | `call_began`, `call_succeeded`, `attempt`, `connection_opened`, `connection_closed`, `lookup`,
 *   `trust_store_read`, `proxy` |
 * | 5 | `connection_reused` |
 *
 * @param client   The client.
 * @param level    From 1 (errors) to 5 (everything); each level includes those before it. 0 ends the log.
 * @param log      Invoked for each event: `event_json` is a JSON object, and `sentence` says the same in English, each in
 *                 one line; both are valid until it returns. It must return. NULL ends the log.
 * @param context  Passed to `log`. It must stay valid until the calls that began while the log was set have returned.
 * @return #COMMBOX_OK, #COMMBOX_INVALID_HANDLE, or #COMMBOX_INVALID_ARGUMENT for a level that is out of range.
 */
int32_t commbox_client_set_log(commbox_client *client,
                               int32_t level,
                               void (*log)(void *context,
                                           int32_t level,
                                           const char *event_json,
                                           const char *sentence),
                               void *context);

/**
 * Checks an update as commbox_update_user_json() does before it sends anything. Nothing is sent, and it does not wait.
 *
 * @param client     The client, for its `validate` option.
 * @param user_id    As for commbox_update_user_json(): 1 or more.
 * @param user_json  As for commbox_update_user_json().
 * @return #COMMBOX_OK if the update would be sent, otherwise #COMMBOX_INVALID_ARGUMENT, #COMMBOX_INVALID_USER or
 *         #COMMBOX_INVALID_HANDLE. `problems` in commbox_last_error_json() has one object for each problem.
 */
int32_t commbox_client_validate_user_json(commbox_client *client,
                                          int64_t user_id,
                                          const char *user_json);

/**
 * Where a client stands, as a JSON object. Its figures count from when the client was made:
 *
 * - `calls`: calls that were made, updates of batches that were dispatched included
 * - `succeeded`, `failed`: calls that ended; cancelled ones have failed
 * - `failed_by_code`: an object with the number of failures for each code, such as `{"-7": 2, "404": 1}`
 * - `attempts`: requests; `retried`: those beyond the first of a call
 * - `throttled`: requests that the server answered with 429; `refused`: with another status from 400 to 499
 * - `waiting`, `in_flight`: calls that wait for their turn or for the next attempt, and requests that are being sent or
 *   answered, now
 * - `connections_open`, `connections_opened`: connections that are open now, and all that were opened
 * - `line`: an object: `state` (`"open"`; requests are paused if it is `"throttled"` or `"outage"`),
 *   `requests_per_second` (the rate at which requests may leave, null if nothing limits it),
 *   `learned_requests_per_second` (learned from 429s, null before the first one), `probe_in_ms` (until the next probe
 *   request, null unless requests are paused)
 * - `latency`: an object, of the calls that ended within the last 60 to 70 seconds and had made a request: `count`,
 *   `sum_ms`, `p50_ms`, `p90_ms`, `p99_ms`, in milliseconds with a fraction; the last three are exact to an eighth, and
 *   null if there are none
 *
 * Calls count without a lock, so figures that change while they are read may differ by what runs meanwhile.
 *
 * @param client  The client.
 * @return The object, to be freed with commbox_string_free(); NULL on failure.
 */
char *commbox_client_stats_json(commbox_client *client);

/**
 * Looks at what stands between this machine and the server, one after the other until something fails, and returns a JSON
 * object. It sends no update and no API key, blocks at most `total_timeout_ms`, and is cancelled as calls are. What was
 * not reached is null. Times are in milliseconds with a fraction; `error` is a sentence, or null.
 *
 * - `server`: `host`, `port`, `tls`
 * - `proxy`: null, or `scheme`, `host`, `port` and `source`, the option or variable that names it
 * - `lookup`: `host` (the server's, or the proxy's), `elapsed_ms`, `error`
 * - `connections`: for each address of that host an object: `address`, `elapsed_ms`, `error`
 * - `tunnel`: of the proxy to the server: `elapsed_ms`, `error`
 * - `tls`: `version`, `elapsed_ms`, `trusted`, `error` (why it is not trusted), and `chain`, the certificates that the
 *   server shows, its own first, each with `subject`, `issuer`, `names`, `not_before` and `not_after`
 * - `http`: the answer to `HEAD /`: `status`, `elapsed_ms`, `error`
 * - `clock`: `local` and `server`, as HTTP writes dates, and `ahead_s`, by how many seconds this machine's clock is ahead
 *
 * @param client  The client.
 * @return The object, to be freed with commbox_string_free(); NULL on failure: #COMMBOX_INVALID_HANDLE,
 *         #COMMBOX_CANCELLED.
 */
char *commbox_client_diagnose_json(commbox_client *client);

/**
 * Updates one user: `POST /users/{user_id}`. Returns within `total_timeout_ms`, which covers waiting, every attempt and
 * every backoff.
 *
 * **Retries.** Retried at most `max_retries` times: HTTP 500, 502, 503 and 504, connections that fail or break, and
 * attempts that exceed `attempt_timeout_ms`; sending the same values twice does no harm. Not retried: other statuses, TLS
 * failures, redirects. The server's `Retry-After` is a lower bound for the backoff. If it exceeds the deadline, the call
 * fails at once and reports `retry_after_ms`. A client may retry 100 times (50 after timeouts) more than its calls
 * succeed, and once more for each 5 successes.
 *
 * **Rate limits.** A 429 costs no retry. It pauses all requests of the client until one of them, a probe request, is
 * accepted; from then on requests leave at a rate that the client learns. If the call's deadline comes before it could
 * leave, it fails at once with #COMMBOX_THROTTLED.
 *
 * **Outages.** 8 transient failures in a row pause all requests of the client, too. A probe request, on a connection of
 * its own and with a short timeout, ends the pause. If the call's deadline comes before the next probe, it fails at once
 * with #COMMBOX_CONNECTION, and says since when the outage lasts.
 *
 * **Order.** Calls for one user leave one at a time, in the order in which they were made (`order_per_user`). A request
 * that timed out may still be applied by the server later, after a newer one: no client can prevent that.
 *
 * Two cases are retried once regardless of `max_retries`, and count as attempts: a request on a reused connection that
 * the server closed before returning a byte, and a 401 for an API key that commbox_client_set_api_key() has replaced
 * since.
 *
 * @param client         The client. Any number of threads may call with the same one.
 * @param user_id        The number that CommBox gave the user: 1 or more.
 * @param user_json      The user's fields, `{"FirstName": "John"}`, or the whole body, `{"data": {…}}`. It is sent as
 *                       it is written. Checked first, unless `validate` is off: `UniqueId` (at most 50 characters),
 *                       `FirstName`, `LastName`, `Phone1`, `Phone2` (100), `Email` (255) and `Remarks` are strings
 *                       or null; `Content`, which holds the custom fields, is an object; a name that is nearly
 *                       one of these is refused (written with other case, blanks, `_` or `-`, or two changes away),
 *                       and so are others, as `unknown_fields` says. All problems come in one message.
 * @param response_json  Receives the server's reply as it came, to be freed with commbox_string_free(); NULL on
 *                       failure. The parameter itself may be NULL.
 * @return #COMMBOX_OK when the server confirmed the update; an HTTP status from 100 up when it answered otherwise;
 *         else a negative code. `delivery` in commbox_last_error_json() tells whether the update may have arrived.
 */
int32_t commbox_update_user_json(commbox_client *client,
                                 int64_t user_id,
                                 const char *user_json,
                                 char **response_json);

/**
 * The same with options of its own.
 *
 * @param client         As for commbox_update_user_json().
 * @param user_id        As for commbox_update_user_json(): 1 or more.
 * @param user_json      As for commbox_update_user_json().
 * @param call_json      A JSON object of options, or NULL or "" for none. They replace those of the
 *                       client for this call:
 *
 * | key | meaning |
 * | --- | --- |
 * | `total_timeout_ms` | timeout of the call, all included; 1 to 86400000 |
 * | `attempt_timeout_ms` | timeout of one attempt; 1 to 86400000 |
 * | `max_retries` | maximum number of retries; 0 to 100 |
 * | `headers` | an object of further headers; each replaces one of the client with the same name |
 *
 * @param response_json  As for commbox_update_user_json(); may be NULL.
 * @return As of commbox_update_user_json(), or #COMMBOX_INVALID_OPTIONS.
 */
int32_t commbox_update_user_json_with(commbox_client *client,
                                      int64_t user_id,
                                      const char *user_json,
                                      const char *call_json,
                                      char **response_json);

/**
 * The name of a code: `"timeout"`, `"rate_limited"`. It is the `name` of commbox_last_error_json().
 *
 * @param code  Any code that a function returned.
 * @return The name: `"ok"` and `"done"` for #COMMBOX_OK and #COMMBOX_DONE, "" for a number that is no code. A constant:
 *         never NULL, never freed. An accessor.
 */
const char *commbox_code_name(int32_t code);

/**
 * Whether the same call may succeed later: #COMMBOX_CONNECTION, #COMMBOX_TIMEOUT, #COMMBOX_THROTTLED, and the statuses 429,
 * 500, 502, 503 and 504.
 *
 * @param code  Any code that a function returned.
 * @return 1 if it may, otherwise 0. An accessor.
 */
int32_t commbox_code_is_transient(int32_t code);

/**
 * The code of this thread's last call. It tells why a function that returns a pointer returned NULL.
 *
 * @return A negative code or an HTTP status; #COMMBOX_OK where the last call succeeded. An accessor.
 */
int32_t commbox_last_error_code(void);

/**
 * A sentence about this thread's last call, if it failed: what was wrong, and what would be right. It names fields
 * and lengths, never the API key or a value of the user.
 *
 * @return The sentence, or "" where the last call succeeded; never NULL. It belongs to the library and is valid
 *         until this thread's next call that is not an accessor.
 */
const char *commbox_last_error(void);

/**
 * Everything known about this thread's last call, if it failed, as a JSON object. Every member is there; what is
 * not known is null.
 *
 * - `code`, `name`: the code, as a number and as a word (`"rate_limited"`, `"timeout"`)
 * - `message`: the sentence of commbox_last_error()
 * - `http_status`: of the server's answer, where a status line came
 * - `description`, `response_time`: the server's own words, as in the documented reply
 * - `request_id`: what the server calls the request, as commbox_last_request_id() has it
 * - `retry_after_ms`: how long the server asks to wait, in milliseconds
 * - `attempts`: how often the update was tried
 * - `elapsed_ms`: how long the call took, in milliseconds
 * - `delivery`: `"not_sent"` (no byte of the request left), `"unknown"` (bytes may have arrived, and no full answer
 *   came) or `"answered"`
 * - `response`: the server's body, cut at 4 KiB. It may repeat what was sent: mind where it is logged
 * - `problems`: what is wrong with each option or field, where that is why the call failed, otherwise `[]`; at most 21
 *   objects `{"path": "retry_cap_ms", "message": "must be at least {retry_base_ms}"}`. The message follows the path, which
 *   is empty if the whole is meant; other options are in braces, so that a program can name them in its own words
 *
 * @return The object, or "" where the last call succeeded; never NULL. Valid as commbox_last_error() is.
 */
const char *commbox_last_error_json(void);

/**
 * How many requests this thread's last update took: 0 if nothing was tried.
 *
 * These functions, from here to commbox_last_request_id(), tell of commbox_update_user_json() whether it succeeded or
 * failed. After commbox_batch_next() has returned an update they tell of that one, and so do commbox_last_error() and
 * its kind. After other functions they tell of nothing: 0, and "".
 *
 * @return The number. An accessor.
 */
int32_t commbox_last_attempts(void);

/**
 * How long it took, in milliseconds.
 *
 * @return The time, 0 or more. An accessor.
 */
int64_t commbox_last_elapsed_ms(void);

/**
 * The status of the server's answer.
 *
 * @return The HTTP status; 0 if no answer came. An accessor.
 */
int32_t commbox_last_http_status(void);

/**
 * Whether the update arrived at the server.
 *
 * @return #COMMBOX_DELIVERY_NOT_SENT, #COMMBOX_DELIVERY_UNKNOWN or #COMMBOX_DELIVERY_ANSWERED. An accessor.
 */
int32_t commbox_last_delivery(void);

/**
 * How long the server asks to wait before the next request, in milliseconds.
 *
 * @return The time; -1 if it does not say. An accessor.
 */
int64_t commbox_last_retry_after_ms(void);

/**
 * What the server calls the request, for its support: the header `X-Request-Id`, `Request-Id` or `X-Correlation-Id` of its
 * answer.
 *
 * @return The text, visible ASCII, at most 128 bytes; "" if it does not say. Never NULL. Valid as commbox_last_error() is.
 */
const char *commbox_last_request_id(void);

/**
 * Makes options without a value: all are as by default.
 *
 * @return The options, to be freed with commbox_options_free(); NULL on failure.
 */
commbox_options *commbox_options_new(void);

/**
 * Sets an option of commbox_client_new(), commbox_batch_new() or commbox_update_user_json_with(). It is checked at once.
 *
 * @param options  The options.
 * @param key      Its key, such as `total_timeout_ms`; `headers.NAME` for one header.
 * @param value    Its value as text: `300`, `true`, `http://proxy.example:3128`; of `headers` a JSON object. It replaces a
 *                 value that was set before. Copied, and wiped when the options are freed.
 * @return #COMMBOX_OK, #COMMBOX_INVALID_HANDLE, #COMMBOX_INVALID_ARGUMENT, or #COMMBOX_INVALID_OPTIONS: the options then
 *         stay as they are.
 */
int32_t commbox_options_set(commbox_options *options,
                            const char *key,
                            const char *value);

/**
 * Frees options. Clients and batches that were made with them keep their values.
 *
 * @param options  The options. NULL is fine. A handle that is already freed is #COMMBOX_INVALID_HANDLE in
 *                 commbox_last_error_json(), and nothing happens.
 */
void commbox_options_free(commbox_options *options);

/**
 * Frees a string that the library handed out: the reply of commbox_update_user_json(), the JSON of
 * commbox_user_to_json(), commbox_batch_next() and commbox_batch_stats_json(). It leaves the last error as it is.
 *
 * @param text  The string, once; NULL is fine. Any other pointer is undefined, as with free().
 */
void commbox_string_free(char *text);

/**
 * Makes a user without fields.
 *
 * @return The user, to be freed with commbox_user_free(); NULL on failure.
 */
commbox_user *commbox_user_new(void);

/**
 * Sets a field, such as `FirstName`. A field that was set before is overridden. Limits and near misses are checked
 * by commbox_update_user_json().
 *
 * @param user   The user.
 * @param name   The field's name, case-sensitive. Not "" and not `Content`. Copied.
 * @param value  The value; NULL is JSON null. Copied and escaped as JSON needs.
 * @return #COMMBOX_OK, #COMMBOX_INVALID_HANDLE or #COMMBOX_INVALID_ARGUMENT.
 */
int32_t commbox_user_set(commbox_user *user,
                         const char *name,
                         const char *value);

/**
 * Sets a custom field, as `Content` holds it. A field that was set before is overridden.
 *
 * @param user   The user.
 * @param name   The field's "Unique Name" of the Custom Fields module, case-sensitive. Not "". Copied.
 * @param value  The value; NULL is JSON null. Copied and escaped as JSON needs.
 * @return #COMMBOX_OK, #COMMBOX_INVALID_HANDLE or #COMMBOX_INVALID_ARGUMENT.
 */
int32_t commbox_user_set_custom(commbox_user *user,
                                const char *name,
                                const char *value);

/**
 * The body for commbox_update_user_json(): `{"data": {…}}` with the fields in the order they were first set.
 *
 * @param user  The user; it stays as it is.
 * @return The JSON, to be freed with commbox_string_free(); NULL on failure.
 */
char *commbox_user_to_json(commbox_user *user);

/**
 * Frees a user.
 *
 * @param user  The user. NULL is fine. A handle that is already freed is #COMMBOX_INVALID_HANDLE in
 *              commbox_last_error_json(), and nothing happens.
 */
void commbox_user_free(commbox_user *user);

/**
 * Makes a batch in front of a client. Updates are submitted on one side, by any thread, and taken back finished on the
 * other, each exactly once. The client may be freed before the batch is.
 *
 * Updates of one user are sent in the order in which they were submitted, one at a time, and in one order with the
 * direct calls for that user. The timeout of an update (`total_timeout_ms`) starts when it is dispatched: time spent
 * queued or held back by the server does not count. In an outage the batch pauses; no update is lost to it before
 * `outage_timeout_ms`.
 *
 * @param client        The client.
 * @param options_json  A JSON object of options, or NULL or "" for the defaults. Copied.
 *
 * | key | default | meaning |
 * | --- | --- | --- |
 * | `concurrency` | 8 | how many updates are under way at a time, each on a thread and a connection that stay; 1 to 256 |
 * | `queue_limit` | 1024 | maximum number of pending updates and, separately, of uncollected results; submitting
 *   blocks at either limit; 1 to 1000000 |
 * | `stop_on_unauthorized` | `true` | at the first 401, close the batch and give back what was not sent as cancelled |
 * | `throttle_timeout_ms` | 900000 | how long an update waits while the server throttles without accepting one request;
 *   then it fails with 429 or #COMMBOX_THROTTLED; 1 to 86400000 |
 * | `outage_timeout_ms` | 600000 | how long an update waits through an outage; then it fails with #COMMBOX_CONNECTION or
 *   its last error; 1 to 86400000 |
 * | `overall_timeout_ms` | `null` | timeout of an update from when it is submitted, whatever it waits for; an update that
 *   cannot meet it fails at once; 1 to 86400000 |
 *
 * `queue_limit` and `concurrency` bound the memory, however many updates there are.
 *
 * @return The batch, to be freed with commbox_batch_free(); NULL on failure: #COMMBOX_INVALID_HANDLE for the client,
 *         #COMMBOX_INVALID_OPTIONS.
 */
commbox_batch *commbox_batch_new(commbox_client *client,
                                 const char *options_json);

/**
 * The same with options of commbox_options_new().
 *
 * @param client   The client.
 * @param options  The options; NULL for the defaults. Copied. Those of a client or a call alone are an error.
 * @return As of commbox_batch_new().
 */
commbox_batch *commbox_batch_new_with(commbox_client *client,
                                      commbox_options *options);

/**
 * Submits an update. It waits while as many wait to be sent, or to be taken back, as `queue_limit` allows; so a program
 * that submits and takes back on one thread gives a time here, and takes back when that is over.
 *
 * @param batch       The batch.
 * @param tag         Any number of the caller's; it comes back with the outcome.
 * @param user_id     As for commbox_update_user_json(). It and the user are checked when their turn comes.
 * @param user_json   As for commbox_update_user_json(). Copied.
 * @param timeout_ms  How long to wait for room; 0 not at all, negative as long as it takes.
 * @return #COMMBOX_OK: the update is accepted, and comes back. Otherwise it is not: #COMMBOX_TIMEOUT (no room in time),
 *         #COMMBOX_CANCELLED (the batch was cancelled or stopped, or the client's calls were cancelled),
 *         #COMMBOX_INVALID_HANDLE, #COMMBOX_INVALID_ARGUMENT (the text, or the batch is closed), #COMMBOX_INVALID_USER
 *         (no memory is left for its copy), #COMMBOX_INTERNAL (the system has no thread to send from).
 */
int32_t commbox_batch_submit(commbox_batch *batch,
                             uint64_t tag,
                             int64_t user_id,
                             const char *user_json,
                             int64_t timeout_ms);

/**
 * The same with options of its own.
 *
 * @param batch       As for commbox_batch_submit().
 * @param tag         As for commbox_batch_submit().
 * @param user_id     As for commbox_update_user_json().
 * @param user_json   As for commbox_update_user_json(). Copied.
 * @param call_json   As for commbox_update_user_json_with(), or NULL. Copied; checked at once.
 * @param timeout_ms  As for commbox_batch_submit().
 * @return As of commbox_batch_submit(), or #COMMBOX_INVALID_OPTIONS.
 */
int32_t commbox_batch_submit_with(commbox_batch *batch,
                                  uint64_t tag,
                                  int64_t user_id,
                                  const char *user_json,
                                  const char *call_json,
                                  int64_t timeout_ms);

/**
 * Takes back the next finished update, in the order in which they finish.
 *
 * @param batch       The batch.
 * @param timeout_ms  How long to wait for one; 0 not at all, negative as long as it takes.
 * @param tag         Receives what it was submitted with; 0 where there is none. May be NULL.
 * @param code        Receives its outcome, as commbox_update_user_json() would have returned it; 0 where there is none.
 *                    May be NULL.
 * @param json        Receives the server's reply, or for another code than #COMMBOX_OK everything known, as
 *                    commbox_last_error_json() documents it; to be freed with commbox_string_free(). NULL where there
 *                    is none. May be NULL.
 * @return #COMMBOX_OK: one was taken back. #COMMBOX_DONE: the batch is closed and everything was taken back.
 *         #COMMBOX_TIMEOUT: none finished in time. #COMMBOX_CANCELLED: the client's calls were cancelled meanwhile.
 *         #COMMBOX_INVALID_HANDLE. After #COMMBOX_OK, commbox_last_error(), its kind and commbox_last_attempts() and its
 *         kind tell of the update that was taken back: `printf("row %llu: %s", tag, commbox_last_error())`.
 */
int32_t commbox_batch_next(commbox_batch *batch,
                           int64_t timeout_ms,
                           uint64_t *tag,
                           int32_t *code,
                           char **json);

/**
 * A file descriptor, on Windows a socket, for an event loop (epoll, poll, libuv, GLib, Qt) to watch: it is readable while
 * commbox_batch_next() would not wait, that is while finished updates can be collected, and when the batch is closed and
 * everything was collected. When it is readable, call commbox_batch_next() with a timeout of 0 until it returns
 * #COMMBOX_TIMEOUT or #COMMBOX_DONE. It may be readable once more after everything was collected, so the first of these
 * calls may return #COMMBOX_TIMEOUT. Each call for the same batch returns the same descriptor.
 *
 * Only watch it: do not read, write or close it. commbox_batch_free() closes it, so stop watching it before that.
 *
 * @param batch  The batch.
 * @return The descriptor, 0 or more; -1 on failure: #COMMBOX_INVALID_HANDLE, or #COMMBOX_INTERNAL if the system gives
 *         none.
 */
int64_t commbox_batch_notify_fd(commbox_batch *batch);

/**
 * Closes a batch: it takes no more updates, and what was submitted is still sent.
 *
 * @param batch  The batch.
 * @return #COMMBOX_OK or #COMMBOX_INVALID_HANDLE.
 */
int32_t commbox_batch_close(commbox_batch *batch);

/**
 * Closes a batch and cancels what was not sent: it comes back as #COMMBOX_CANCELLED, also what waits for its turn or
 * between attempts. What is under way finishes and comes back with its outcome.
 *
 * @param batch  The batch.
 * @return #COMMBOX_OK or #COMMBOX_INVALID_HANDLE.
 */
int32_t commbox_batch_cancel(commbox_batch *batch);

/**
 * Cancels the updates that were submitted with this tag, those under way too, within 100 ms. They come back as
 * #COMMBOX_CANCELLED, unless they had finished. The batch stays open.
 *
 * @param batch  The batch.
 * @param tag    The tag; where none has it, nothing happens.
 * @return #COMMBOX_OK or #COMMBOX_INVALID_HANDLE.
 */
int32_t commbox_batch_cancel_tag(commbox_batch *batch,
                                 uint64_t tag);

/**
 * Where a batch stands, as a JSON object:
 *
 * - `queued`, `in_flight`, `finished`: how many wait to be sent, are under way, and wait to be taken back
 * - `succeeded`, `failed`: how many the server confirmed, and how many came to nothing, taken back or not
 * - `failed_by_code`: an object with the number of failures for each code, such as `{"-8": 3, "404": 1}`
 * - `retried`: attempts beyond the first of an update; `throttled`: those that the server answered with 429
 * - `requests_per_second`: over the last second; `average_requests_per_second`: since the first update
 * - `learned_requests_per_second`: the rate that the client has learned from 429s; null before the first one
 * - `elapsed_ms`: since the first update was submitted
 *
 * @param batch  The batch.
 * @return The object, to be freed with commbox_string_free(); NULL on failure.
 */
char *commbox_batch_stats_json(commbox_batch *batch);

/**
 * Frees a batch without waiting. What was not sent is dropped and does not come back, what is under way is cancelled;
 * its threads end within 100 ms. A program that must know of each update takes everything back first:
 * commbox_batch_cancel(), then commbox_batch_next() until #COMMBOX_DONE. Calls that wait on the batch return
 * #COMMBOX_INVALID_HANDLE.
 *
 * @param batch  The batch. NULL is fine. A handle that is already freed is #COMMBOX_INVALID_HANDLE in
 *               commbox_last_error_json(), and nothing happens.
 */
void commbox_batch_free(commbox_batch *batch);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* COMMBOX_H */
