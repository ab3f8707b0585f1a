#ifndef COMMBOX_H
#define COMMBOX_H

#include <stdint.h>

#define COMMBOX_ABI_VERSION 1

#define COMMBOX_OK 0

#define COMMBOX_DONE 1

#define COMMBOX_INVALID_ARGUMENT -1

#define COMMBOX_INVALID_HANDLE -2

#define COMMBOX_INVALID_OPTIONS -3

#define COMMBOX_INVALID_USER -4

#define COMMBOX_CONNECTION -5

#define COMMBOX_TLS -6

#define COMMBOX_TIMEOUT -7

#define COMMBOX_CANCELLED -8

#define COMMBOX_BAD_RESPONSE -9

#define COMMBOX_INTERNAL -10

#define COMMBOX_THROTTLED -11

#define COMMBOX_BAD_REQUEST 400

#define COMMBOX_UNAUTHORIZED 401

#define COMMBOX_NOT_FOUND 404

#define COMMBOX_RATE_LIMITED 429

#define COMMBOX_SERVER_ERROR 500

#define COMMBOX_NOT_IMPLEMENTED 501

#define COMMBOX_DELIVERY_UNKNOWN 0

#define COMMBOX_DELIVERY_NOT_SENT 1

#define COMMBOX_DELIVERY_ANSWERED 2

typedef struct commbox_batch commbox_batch;

typedef struct commbox_client commbox_client;

typedef struct commbox_options commbox_options;

typedef struct commbox_user commbox_user;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

const char *commbox_version(void);

uint32_t commbox_abi_version(void);

commbox_client *commbox_client_new(const char *api_key, const char *options_json);

commbox_client *commbox_client_new_with(const char *api_key, commbox_options *options);

void commbox_client_free(commbox_client *client);

int32_t commbox_client_set_api_key(commbox_client *client, const char *api_key);

int32_t commbox_client_set_max_requests_per_second(commbox_client *client,
                                                   double max_requests_per_second);

int32_t commbox_client_cancel(commbox_client *client);

int32_t commbox_client_set_interrupt(commbox_client *client,
                                     int32_t (*poll)(void *context),
                                     void *context);

int32_t commbox_client_set_log(commbox_client *client,
                               int32_t level,
                               void (*log)(void *context,
                                           int32_t level,
                                           const char *event_json,
                                           const char *sentence),
                               void *context);

int32_t commbox_client_validate_user_json(commbox_client *client,
                                          int64_t user_id,
                                          const char *user_json);

char *commbox_client_stats_json(commbox_client *client);

char *commbox_client_diagnose_json(commbox_client *client);

int32_t commbox_update_user_json(commbox_client *client,
                                 int64_t user_id,
                                 const char *user_json,
                                 char **response_json);

int32_t commbox_update_user_json_with(commbox_client *client,
                                      int64_t user_id,
                                      const char *user_json,
                                      const char *call_json,
                                      char **response_json);

const char *commbox_code_name(int32_t code);

int32_t commbox_code_is_transient(int32_t code);

int32_t commbox_last_error_code(void);

const char *commbox_last_error(void);

const char *commbox_last_error_json(void);

int32_t commbox_last_attempts(void);

int64_t commbox_last_elapsed_ms(void);

int32_t commbox_last_http_status(void);

int32_t commbox_last_delivery(void);

int64_t commbox_last_retry_after_ms(void);

const char *commbox_last_request_id(void);

commbox_options *commbox_options_new(void);

int32_t commbox_options_set(commbox_options *options, const char *key, const char *value);

void commbox_options_free(commbox_options *options);

void commbox_string_free(char *text);

commbox_user *commbox_user_new(void);

int32_t commbox_user_set(commbox_user *user, const char *name, const char *value);

int32_t commbox_user_set_custom(commbox_user *user, const char *name, const char *value);

char *commbox_user_to_json(commbox_user *user);

void commbox_user_free(commbox_user *user);

commbox_batch *commbox_batch_new(commbox_client *client, const char *options_json);

commbox_batch *commbox_batch_new_with(commbox_client *client, commbox_options *options);

int32_t commbox_batch_submit(commbox_batch *batch,
                             uint64_t tag,
                             int64_t user_id,
                             const char *user_json,
                             int64_t timeout_ms);

int32_t commbox_batch_submit_with(commbox_batch *batch,
                                  uint64_t tag,
                                  int64_t user_id,
                                  const char *user_json,
                                  const char *call_json,
                                  int64_t timeout_ms);

int32_t commbox_batch_next(commbox_batch *batch,
                           int64_t timeout_ms,
                           uint64_t *tag,
                           int32_t *code,
                           char **json);

int64_t commbox_batch_notify_fd(commbox_batch *batch);

int32_t commbox_batch_close(commbox_batch *batch);

int32_t commbox_batch_cancel(commbox_batch *batch);

int32_t commbox_batch_cancel_tag(commbox_batch *batch, uint64_t tag);

char *commbox_batch_stats_json(commbox_batch *batch);

void commbox_batch_free(commbox_batch *batch);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* COMMBOX_H */
