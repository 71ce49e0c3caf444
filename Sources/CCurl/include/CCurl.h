#pragma once

#include <curl/curl.h>

// Swift cannot call C functions with variable arguments, which curl_easy_setopt and its relatives
// are. Each wrapper below passes one type of argument, so that a value of the wrong width cannot
// reach libcurl: an int where it reads a long is undefined behaviour.

CURLcode preloop_curl_setopt_long(CURL *easy, CURLoption option, long value);
CURLcode preloop_curl_setopt_offset(CURL *easy, CURLoption option, curl_off_t value);

// Options that take a C string; libcurl copies it.
CURLcode preloop_curl_setopt_text(CURL *easy, CURLoption option, const char *value);

// CURLOPT_COPYPOSTFIELDS: bytes that are not a C string; set CURLOPT_POSTFIELDSIZE_LARGE first.
CURLcode preloop_curl_set_body(CURL *easy, const void *bytes);

// CURLOPT_HTTPHEADER: the list must outlive the transfer.
CURLcode preloop_curl_set_headers(CURL *easy, struct curl_slist *headers);

// CURLOPT_CONNECT_TO: the list must outlive the transfer.
CURLcode preloop_curl_set_connect_to(CURL *easy, struct curl_slist *hosts);

// CURLOPT_ERRORBUFFER: CURL_ERROR_SIZE bytes that must outlive the handle.
CURLcode preloop_curl_set_error_buffer(CURL *easy, char *buffer);

typedef size_t (*preloop_curl_data_callback)(char *bytes, size_t size, size_t count, void *context);
typedef int (*preloop_curl_progress_callback)(void *context, curl_off_t download_total,
                                              curl_off_t downloaded, curl_off_t upload_total,
                                              curl_off_t uploaded);
typedef int (*preloop_curl_connected_callback)(void *context, char *remote_address,
                                               char *local_address, int remote_port,
                                               int local_port);

// The callbacks of a transfer, all with the same context.
typedef struct {
    void *context;
    preloop_curl_data_callback header;
    preloop_curl_data_callback body;
    preloop_curl_progress_callback progress;
    preloop_curl_connected_callback connected;
} preloop_curl_callbacks;

CURLcode preloop_curl_set_callbacks(CURL *easy, preloop_curl_callbacks callbacks);

// A POST whose body comes from a callback. libcurl cannot wind that back, so it never repeats by
// itself a request of whose body anything was sent.
CURLcode preloop_curl_set_reader(CURL *easy, preloop_curl_data_callback read, void *context);

// Zero when there is no such information.
long preloop_curl_getinfo_long(CURL *easy, CURLINFO info);

CURLMcode preloop_curl_multi_setopt_long(CURLM *multi, CURLMoption option, long value);

// The result of a CURLMSG_DONE message: Swift does not see into the message's union by its type.
CURLcode preloop_curl_message_result(const CURLMsg *message);

// A message for one SMTP server, sent by a transfer that blocks its thread. Texts are C strings
// that outlive the call; `user`, `password` and `authorities` may be null.
typedef struct {
    const char *url;
    const char *user;
    const char *password;
    const char *from;
    const char *const *recipients;
    size_t recipient_count;
    const char *message;
    size_t length;
    long timeout_milliseconds;
    // Whether a connection without TLS is given up; STARTTLS where the URL is smtp://.
    int requires_tls;
    const char *authorities;
} preloop_mail;

// `error` has CURL_ERROR_SIZE bytes; `status` is the server's last answer.
CURLcode preloop_curl_send_mail(const preloop_mail *mail, char *error, long *status);
