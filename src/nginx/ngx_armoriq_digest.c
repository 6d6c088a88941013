
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What configuration decided is in the audit log as one hash over the bytes
 * of nginx.conf and of all that is included in its http{}, as nginx has read
 * them: files change behind its back.  It is what "sha256sum FILE... |
 * sha256sum" prints, with the files in the order of reading.
 */


#include "ngx_armoriq.h"


static ngx_int_t ngx_armoriq_digest_main(ngx_conf_t *cf, ngx_array_t *lines,
    aiq_crypto_t *c);
static ngx_int_t ngx_armoriq_digest_file(ngx_conf_t *cf, ngx_array_t *lines,
    aiq_crypto_t *c, ngx_str_t *name, ngx_buf_t *b);
static ngx_buf_t *ngx_armoriq_digest_read(ngx_conf_t *cf, ngx_str_t *name);


/* nginx keeps what it reads if it is to print it: from here on it does */

ngx_int_t
ngx_armoriq_digest_begin(ngx_conf_t *cf)
{
    ngx_armoriq_main_conf_t  *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_armoriq_module);

    amcf->dumped = cf->cycle->config_dump.nelts;
    amcf->dumps = ngx_dump_config;

    ngx_dump_config = 1;

    return NGX_OK;
}


ngx_int_t
ngx_armoriq_digest(ngx_conf_t *cf, ngx_armoriq_main_conf_t *amcf)
{
    ngx_int_t         rc;
    ngx_uint_t        i;
    ngx_array_t       lines;
    aiq_crypto_t     *c;
    ngx_conf_dump_t  *dump;

    ngx_dump_config = amcf->dumps;

    if (!amcf->used) {
        return NGX_OK;
    }

    c = aiq_crypto_new();
    if (c == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_array_init(&lines, cf->temp_pool, 8, sizeof(aiq_str_t));

    if (rc == NGX_OK) {
        rc = ngx_armoriq_digest_main(cf, &lines, c);
    }

    dump = cf->cycle->config_dump.elts;

    for (i = amcf->dumped;
         rc == NGX_OK && i < cf->cycle->config_dump.nelts;
         i++)
    {
        rc = ngx_armoriq_digest_file(cf, &lines, c, &dump[i].name,
                                     dump[i].buffer);
    }

    if (rc == NGX_OK
        && aiq_sha256v(c, lines.elts, (unsigned) lines.nelts, amcf->digest)
           != AIQ_OK)
    {
        rc = NGX_ERROR;
    }

    aiq_crypto_free(c);

    return rc;
}


/* nginx.conf itself was opened before: kept or not, depending on the build */

static ngx_int_t
ngx_armoriq_digest_main(ngx_conf_t *cf, ngx_array_t *lines, aiq_crypto_t *c)
{
    ngx_buf_t        *b;
    ngx_str_t        *name;
    ngx_uint_t        i;
    ngx_conf_dump_t  *dump;

    b = NULL;
    name = &cf->cycle->conf_file;
    dump = cf->cycle->config_dump.elts;

    for (i = 0; i < cf->cycle->config_dump.nelts; i++) {

        if (dump[i].name.len == name->len
            && ngx_strncmp(dump[i].name.data, name->data, name->len) == 0)
        {
            b = dump[i].buffer;
            break;
        }
    }

    if (b == NULL) {
        b = ngx_armoriq_digest_read(cf, name);

        if (b == NULL) {
            return NGX_ERROR;
        }
    }

    return ngx_armoriq_digest_file(cf, lines, c, name, b);
}


static ngx_buf_t *
ngx_armoriq_digest_read(ngx_conf_t *cf, ngx_str_t *name)
{
    ssize_t     n;
    ngx_buf_t  *b;
    ngx_file_t  file;

    ngx_memzero(&file, sizeof(ngx_file_t));

    file.name = *name;
    file.log = cf->log;
    file.fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", name);
        return NULL;
    }

    b = NULL;

    if (ngx_fd_info(file.fd, &file.info) != NGX_FILE_ERROR) {
        b = ngx_create_temp_buf(cf->temp_pool,
                                (size_t) ngx_file_size(&file.info) + 1);
    }

    if (b) {
        n = ngx_read_file(&file, b->last,
                          (size_t) ngx_file_size(&file.info), 0);

        if (n == (ssize_t) ngx_file_size(&file.info)) {
            b->last += n;

        } else {
            b = NULL;
        }
    }

    (void) ngx_close_file(file.fd);

    if (b == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" cannot be read",
                           name);
    }

    return b;
}


/* a line as sha256sum prints it */

static ngx_int_t
ngx_armoriq_digest_file(ngx_conf_t *cf, ngx_array_t *lines, aiq_crypto_t *c,
    ngx_str_t *name, ngx_buf_t *b)
{
    size_t       size;
    aiq_out_t    out;
    aiq_str_t    text, *line;
    u_char      *p, hash[AIQ_HASH_LEN];

    text.data = b->pos;
    text.len = b->last - b->pos;

    size = 2 * AIQ_HASH_LEN + 2 + name->len + 1;

    p = ngx_pnalloc(cf->temp_pool, size);
    line = ngx_array_push(lines);

    if (p == NULL || line == NULL || aiq_sha256(c, text, hash) != AIQ_OK) {
        return NGX_ERROR;
    }

    aiq_out_init(&out, p, size);
    aiq_out_hex(&out, hash, AIQ_HASH_LEN);
    aiq_out_str(&out, "  ");
    aiq_out_mem(&out, name->data, name->len);
    aiq_out_char(&out, '\n');

    *line = aiq_out_done(&out);

    return out.failed ? NGX_ERROR : NGX_OK;
}
