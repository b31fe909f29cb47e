/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What the module has done, in numbers that only grow: a row of counters for
 * each process in shared memory, summed by whoever reads.
 * Knows neither what a counter means nor who shows it. Counting takes no lock
 * and may be done anywhere, also before the rows exist (it is then lost) and
 * in processes that the server did not announce (they share the first row). */
#ifndef TLS_METRICS_H
#define TLS_METRICS_H

#include <stdint.h>

#include "tls_err.h"

/* X(id, name of the statistic, what it counts). The order of the causes is
 * that of enum tls_cause, the order of the times that of the table in
 * tls_metrics.c. */
#define TLS_METRICS(X)                                                         \
	X(STARTED_SERVER, "handshakes_started_server",                             \
			"handshakes begun by peers")                                       \
	X(STARTED_CLIENT, "handshakes_started_client", "handshakes begun by us")   \
	X(SERVER_1_0, "handshakes_completed_server_tls1_0",                        \
			"server role, TLS 1.0")                                            \
	X(SERVER_1_1, "handshakes_completed_server_tls1_1",                        \
			"server role, TLS 1.1")                                            \
	X(SERVER_1_2, "handshakes_completed_server_tls1_2",                        \
			"server role, TLS 1.2")                                            \
	X(SERVER_1_3, "handshakes_completed_server_tls1_3",                        \
			"server role, TLS 1.3")                                            \
	X(CLIENT_1_0, "handshakes_completed_client_tls1_0",                        \
			"client role, TLS 1.0")                                            \
	X(CLIENT_1_1, "handshakes_completed_client_tls1_1",                        \
			"client role, TLS 1.1")                                            \
	X(CLIENT_1_2, "handshakes_completed_client_tls1_2",                        \
			"client role, TLS 1.2")                                            \
	X(CLIENT_1_3, "handshakes_completed_client_tls1_3",                        \
			"client role, TLS 1.3")                                            \
	X(RESUMED_SERVER, "resumptions_server", "of these resumed, server role")   \
	X(RESUMED_CLIENT, "resumptions_client", "of these resumed, client role")   \
	X(FAILED_OTHER, "handshakes_failed_other", "failed for another reason")    \
	X(FAILED_CIPHER, "handshakes_failed_no_shared_cipher",                     \
			"failed: no cipher, group or signature in common")                 \
	X(FAILED_VERSION, "handshakes_failed_version",                             \
			"failed: no protocol version in common")                           \
	X(FAILED_NAME, "handshakes_failed_unknown_name",                           \
			"failed: the server name is not known")                            \
	X(FAILED_CERT_MISSING, "handshakes_failed_cert_missing",                   \
			"failed: the peer showed no certificate")                          \
	X(FAILED_CERT_EXPIRED, "handshakes_failed_cert_expired",                   \
			"failed: the peer's certificate is not valid now")                 \
	X(FAILED_CERT_CA, "handshakes_failed_cert_unknown_ca",                     \
			"failed: no trusted CA signed the peer's certificate")             \
	X(FAILED_CERT_REVOKED, "handshakes_failed_cert_revoked",                   \
			"failed: the peer's certificate is revoked")                       \
	X(FAILED_CERT_NAME, "handshakes_failed_cert_name",                         \
			"failed: the peer's certificate is for another name")              \
	X(FAILED_CERT_STATUS, "handshakes_failed_cert_status",                     \
			"failed: no good OCSP response about the peer's certificate")      \
	X(FAILED_CERT_OTHER, "handshakes_failed_cert_other",                       \
			"failed: the peer's certificate does not verify")                  \
	X(FAILED_ALERT, "handshakes_failed_alert",                                 \
			"failed: the peer refused us with an alert")                       \
	X(FAILED_TIMEOUT, "handshakes_failed_timeout",                             \
			"failed: handshake_timeout")                                       \
	X(FAILED_CLOSED, "handshakes_failed_closed",                               \
			"failed: the connection ended in the middle")                      \
	X(FAILED_GARBAGE, "handshakes_failed_garbage",                             \
			"failed: bytes that are no TLS or break its rules")                \
	X(FAILED_LIMIT, "handshakes_failed_limit",                                 \
			"failed: a limit was reached, all limits together")                \
	X(FAILED_MEMORY, "handshakes_failed_memory",                               \
			"failed: shared memory is short")                                  \
	X(FAILED_INTERNAL, "handshakes_failed_internal",                           \
			"failed: our own fault or the library's")                          \
	X(MS_1, "handshake_ms_le_1", "completed within 1 ms")                      \
	X(MS_2, "handshake_ms_le_2", "completed within 2 ms, but not 1")           \
	X(MS_5, "handshake_ms_le_5", "completed within 5 ms, but not 2")           \
	X(MS_10, "handshake_ms_le_10", "completed within 10 ms, but not 5")        \
	X(MS_20, "handshake_ms_le_20", "completed within 20 ms, but not 10")       \
	X(MS_50, "handshake_ms_le_50", "completed within 50 ms, but not 20")       \
	X(MS_100, "handshake_ms_le_100", "completed within 100 ms, but not 50")    \
	X(MS_200, "handshake_ms_le_200", "completed within 200 ms, but not 100")   \
	X(MS_500, "handshake_ms_le_500", "completed within 500 ms, but not 200")   \
	X(MS_1000, "handshake_ms_le_1000", "completed within 1 s, but not 500 ms") \
	X(MS_2000, "handshake_ms_le_2000", "completed within 2 s, but not 1 s")    \
	X(MS_5000, "handshake_ms_le_5000", "completed within 5 s, but not 2 s")    \
	X(MS_MORE, "handshake_ms_more", "completed in more than 5 s")              \
	X(FAILED_LATER, "connections_failed",                                      \
			"connections that failed after their handshake")                   \
	X(SILENT, "connections_silent",                                            \
			"connections closed because no byte came within the time")         \
	X(BYTES_IN, "bytes_in", "bytes received from peers, as on the wire")       \
	X(BYTES_OUT, "bytes_out", "bytes handed to TCP, as on the wire")           \
	X(CLEAR_IN, "clear_text_bytes_in", "bytes of messages received")           \
	X(CLEAR_OUT, "clear_text_bytes_out", "bytes of messages taken to send")    \
	X(RECORDS_IN, "records_in", "records received")                            \
	X(RECORDS_OUT, "records_out", "records sent")                              \
	X(REFUSED_MEMORY, "refused_low_memory",                                    \
			"handshakes refused by low_mem_threshold1 or 2")                   \
	X(REFUSED_IN_FLIGHT, "refused_max_handshakes",                             \
			"handshakes refused by max_handshakes")                            \
	X(REFUSED_TOTAL, "refused_handshake_rate",                                 \
			"handshakes refused by handshake_rate")                            \
	X(REFUSED_SOURCE, "refused_handshake_rate_source",                         \
			"handshakes refused by handshake_rate_source")                     \
	X(REFUSED_CONNECTIONS, "refused_max_connections",                          \
			"connections refused by max_connections of their profile")         \
	X(REFUSED_FRAGMENTS, "refused_max_record_fragments",                       \
			"connections closed by max_record_fragments")                      \
	X(CRLF_DROPPED, "crlf_dropped", "keep-alives that crlf_drop dropped")      \
	X(QUEUE_REFUSED, "clear_text_write_refused",                               \
			"sends refused because a clear-text queue was full")               \
	X(RELOADS_OK, "reloads_ok", "reloads that put a configuration into force") \
	X(RELOADS_FAILED, "reloads_failed", "reloads that changed nothing")        \
	X(GENERATIONS_MADE, "generations_made", "configurations put into force")   \
	X(GENERATIONS_FREED, "generations_freed", "configurations given back")     \
	X(LINES_LEFT_OUT, "log_lines_left_out", "log lines that were not written")

#define TLS_METRICS_ID(id_, name_, doc_) TLS_METRIC_##id_,
enum tls_metric
{
	TLS_METRICS(TLS_METRICS_ID) TLS_METRIC_COUNT
};
#undef TLS_METRICS_ID

/* Allocates the rows, all 0. Main process, once, when the number of processes
 * is known (tls_port_processes) and before they are forked. TLS_RC_OK,
 * TLS_RC_NOMEM, TLS_RC_BUG when they exist already. */
enum tls_rc tls_metrics_init(void) TLS_MUST_CHECK;

/* Frees the rows; for tests: on a server they live as long as it does. */
void tls_metrics_destroy(void);

/* Adds N, or 1, to METRIC. Any process, any lock. */
void tls_metrics_add(enum tls_metric metric, uint64_t n);
void tls_metrics_count(enum tls_metric metric);

/* Counts a failed handshake by CAUSE, or a completed one by the MS that it
 * took. */
void tls_metrics_failed(enum tls_cause cause);
void tls_metrics_took(uint64_t ms);

/* The sum over all processes of METRIC, or of FIRST to LAST. A sum of what
 * others are counting at this moment is a little old, never wrong for long:
 * each process's part is exact. */
uint64_t tls_metrics_sum(enum tls_metric metric);
uint64_t tls_metrics_sum_of(enum tls_metric first, enum tls_metric last);

/* Milliseconds within which PER_MILLE of all handshakes completed, as the
 * upper bound of a class; 0 when there was none, UINT64_MAX when it lies above
 * the largest bound. */
uint64_t tls_metrics_quantile_ms(unsigned int per_mille);

/* Name of the statistic and one sentence about it. */
const char *tls_metrics_name(enum tls_metric metric);
const char *tls_metrics_doc(enum tls_metric metric);

#endif
