
/*
 * Copyright (C) ngx_armoriq authors
 */


#include "b64.h"


static aiq_rc_t aiq_b64_decode_body(aiq_str_t in, unsigned char *out,
    size_t *len, const unsigned char *table);
static void aiq_b64_encode_body(aiq_out_t *out, const unsigned char *p,
    size_t len, const char *alphabet, int pad);
static int aiq_b64_nibble(unsigned char c);


static const char  aiq_b64_url_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static const char  aiq_b64_std_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 0x80: not in the alphabet; bytes from 0x80 on never are */

static const unsigned char  aiq_b64_url_table[128] = {
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
    0x80, 0x80, 0x80, 0x80, 0x80, 0x3e, 0x80, 0x80,
    0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x3b,
    0x3c, 0x3d, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
    0x80, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
    0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e,
    0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16,
    0x17, 0x18, 0x19, 0x80, 0x80, 0x80, 0x80, 0x3f,
    0x80, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x20,
    0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28,
    0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f, 0x30,
    0x31, 0x32, 0x33, 0x80, 0x80, 0x80, 0x80, 0x80
};

static const unsigned char  aiq_b64_std_table[128] = {
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
    0x80, 0x80, 0x80, 0x3e, 0x80, 0x80, 0x80, 0x3f,
    0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x3b,
    0x3c, 0x3d, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
    0x80, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
    0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e,
    0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16,
    0x17, 0x18, 0x19, 0x80, 0x80, 0x80, 0x80, 0x80,
    0x80, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x20,
    0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28,
    0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f, 0x30,
    0x31, 0x32, 0x33, 0x80, 0x80, 0x80, 0x80, 0x80
};


aiq_rc_t
aiq_b64url_decode(aiq_str_t in, unsigned char *out, size_t *len)
{
    return aiq_b64_decode_body(in, out, len, aiq_b64_url_table);
}


void
aiq_b64url_encode(aiq_out_t *out, const unsigned char *p, size_t len)
{
    aiq_b64_encode_body(out, p, len, aiq_b64_url_alphabet, 0);
}


aiq_rc_t
aiq_b64_decode(aiq_str_t in, unsigned char *out, size_t *len)
{
    *len = 0;

    if (in.len % 4) {
        return AIQ_D_TOKEN_MALFORMED;
    }

    /*
     * With the padding taken off, the rest is judged as base64url is: the
     * length that remains says how much padding there must have been.
     */

    if (in.len && in.data[in.len - 1] == '=') {
        in.len--;

        if (in.data[in.len - 1] == '=') {
            in.len--;
        }
    }

    return aiq_b64_decode_body(in, out, len, aiq_b64_std_table);
}


void
aiq_b64_encode(aiq_out_t *out, const unsigned char *p, size_t len)
{
    aiq_b64_encode_body(out, p, len, aiq_b64_std_alphabet, 1);
}


static aiq_rc_t
aiq_b64_decode_body(aiq_str_t in, unsigned char *out, size_t *len,
    const unsigned char *table)
{
    unsigned              a, b, c, d, bad;
    size_t                n;
    unsigned char        *dst;
    const unsigned char  *src;

    *len = 0;

    if (in.len % 4 == 1) {
        return AIQ_D_TOKEN_MALFORMED;
    }

    bad = 0;
    src = in.data;
    dst = out;

    for (n = in.len; n >= 4; n -= 4) {

        a = table[src[0] & 0x7f];
        b = table[src[1] & 0x7f];
        c = table[src[2] & 0x7f];
        d = table[src[3] & 0x7f];

        bad |= a | b | c | d;
        bad |= src[0] | src[1] | src[2] | src[3];

        dst[0] = (unsigned char) (a << 2 | b >> 4);
        dst[1] = (unsigned char) (b << 4 | c >> 2);
        dst[2] = (unsigned char) (c << 6 | d);

        src += 4;
        dst += 3;
    }

    if (n) {
        a = table[src[0] & 0x7f];
        b = table[src[1] & 0x7f];

        bad |= a | b | src[0] | src[1];

        *dst++ = (unsigned char) (a << 2 | b >> 4);

        if (n == 3) {
            c = table[src[2] & 0x7f];

            bad |= c | src[2];

            *dst++ = (unsigned char) (b << 4 | c >> 2);

            /* unused bits are zero, or one value would have many texts */

            bad |= (c & 0x03) ? 0x80 : 0;

        } else {
            bad |= (b & 0x0f) ? 0x80 : 0;
        }
    }

    if (bad & 0x80) {
        return AIQ_D_TOKEN_MALFORMED;
    }

    *len = (size_t) (dst - out);

    return AIQ_OK;
}


static void
aiq_b64_encode_body(aiq_out_t *out, const unsigned char *p, size_t len,
    const char *alphabet, int pad)
{
    while (len >= 3) {
        aiq_out_char(out, alphabet[p[0] >> 2]);
        aiq_out_char(out, alphabet[(p[0] & 0x03) << 4 | p[1] >> 4]);
        aiq_out_char(out, alphabet[(p[1] & 0x0f) << 2 | p[2] >> 6]);
        aiq_out_char(out, alphabet[p[2] & 0x3f]);

        p += 3;
        len -= 3;
    }

    if (len == 0) {
        return;
    }

    aiq_out_char(out, alphabet[p[0] >> 2]);

    if (len == 1) {
        aiq_out_char(out, alphabet[(p[0] & 0x03) << 4]);

        if (pad) {
            aiq_out_mem(out, "==", 2);
        }

        return;
    }

    aiq_out_char(out, alphabet[(p[0] & 0x03) << 4 | p[1] >> 4]);
    aiq_out_char(out, alphabet[(p[1] & 0x0f) << 2]);

    if (pad) {
        aiq_out_char(out, '=');
    }
}


aiq_rc_t
aiq_hex_decode(aiq_str_t in, unsigned char *out, size_t len)
{
    int     hi, lo;
    size_t  i;

    /* not 2 * len, which could wrap */

    if (in.len % 2 || in.len / 2 != len) {
        return AIQ_DECLINED;
    }

    for (i = 0; i < len; i++) {
        hi = aiq_b64_nibble(in.data[2 * i]);
        lo = aiq_b64_nibble(in.data[2 * i + 1]);

        if (hi < 0 || lo < 0) {
            return AIQ_DECLINED;
        }

        out[i] = (unsigned char) (hi << 4 | lo);
    }

    return AIQ_OK;
}


static int
aiq_b64_nibble(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }

    return -1;
}
