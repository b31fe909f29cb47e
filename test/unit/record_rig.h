/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* One engine against one plain SSL object over memory, for the tests of the
 * record layer. The SSL object judges, or hands its keys to a "puppet": a
 * tls_record that says whatever a test wants, also to an engine that stays on
 * OpenSSL. Knows no test framework; one process, or under the test's lock. */
#ifndef TEST_RECORD_RIG_H
#define TEST_RECORD_RIG_H

#include "../../tls_conn.h"
#include "../../tls_ossl.h"
#include "../../tls_record.h"
#include "../lib/engine_pair.h"

struct rig_setup
{
	enum tls_role role; /* of the engine */
	int version;		/* TLS1_2_VERSION, TLS1_3_VERSION */
	const char *suite;	/* NULL = an AES128-GCM of that version */
	const char *cert;	/* of the server; NULL = "ec" */
	bool ossl;			/* the engine stays on OpenSSL's record layer */
	size_t max_fragment;
	size_t out_size; /* windows; 0 = 65536, 20000 */
	size_t clear_size;
	size_t chop;		  /* most bytes per read step, 0 = all */
	int tickets;		  /* of a server, TLS 1.3; -1 = the default */
	SSL_SESSION *session; /* that the plain client offers */
	uint8_t fragment_ext; /* TLSEXT_max_fragment_length_... it offers */
	bool puppet;		  /* the SSL object is watched */
	size_t split; /* TLS 1.2, puppet: its Finished comes in so many bytes */
	const char *early; /* the SSL object says it right behind its Finished */
	unsigned long fail_at; /* allocation of the engine's steps that fails */
};

struct rig
{
	struct rig_setup s;
	struct tls_conn *conn; /* owned */
	SSL *raw;			   /* owned */
	struct tls_record_keys keys;
	struct tls_record puppet; /* in use after rig_puppet */
	uint64_t parts;			  /* records of the Finished that was split */
	struct engine_bytes to_engine;
	struct engine_bytes to_raw;
	struct engine_bytes sent; /* all that the engine ever sent */
	struct engine_bytes got;  /* clear text that came out of the engine */
	enum tls_rc rc;			  /* of the engine's last step */
	struct tls_err err;		  /* of the first step that failed */
	unsigned long fail_at;	  /* allocations of the engine until it fails */
	bool failed;			  /* that has happened */
};

/* What a puppet heard. */
struct rig_heard
{
	size_t records;
	size_t data; /* bytes of application data */
	size_t key_updates;
	int level; /* of the last alert, -1 = none */
	int alert;
	size_t warnings;
	size_t n_largest; /* clear text of the largest application record */
	bool broken;	  /* a record did not open */
};

/* Once per program. */
void rig_init(void);

/* Handshake. False (with rig->err) when it failed. */
bool rig_open(struct rig *rig, const struct rig_setup *setup);
void rig_close(struct rig *rig);

/* Live SSL objects made since the program began: 1 when the engine lives
 * without one. */
long rig_ssl_live(void);

/* Steps the engine until its input is used up and nothing is pending. */
void rig_engine_read(struct rig *rig);
enum tls_rc rig_engine_write(struct rig *rig, const void *data, size_t n);

/* Moves what the SSL object has written to the engine's input. */
void rig_raw_flush(struct rig *rig);
/* Gives the SSL object its input and reads up to SIZE bytes; -1 on error. */
long rig_raw_read(struct rig *rig, unsigned char *buf, size_t size);
bool rig_raw_write(struct rig *rig, const void *data, size_t n);

/* The puppet takes over from the SSL object. */
bool rig_puppet(struct rig *rig);
/* Seals N bytes as TYPE for the engine. */
void rig_say(struct rig *rig, int type, const void *data, size_t n);
/* Seals any inner plaintext, larger than the protocol allows too. */
void rig_say_inner(struct rig *rig, int outer, const void *inner, size_t n);
/* Opens all that the engine has sent. */
void rig_hear(struct rig *rig, struct rig_heard *heard);

/* A connection's two ends without any handshake: B is the twin of A. */
void rig_twins(struct tls_record *a, struct tls_record *b, uint8_t suite,
		bool tls13, uint64_t id);

#endif
