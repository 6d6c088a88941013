
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What configuration decided is in the audit log as one hash over the bytes
 * of nginx.conf, of the file with http{} if that is another one, and of all
 * that is included in http{}, as nginx has read them: files change behind its
 * back.  It is what "sha256sum FILE... | sha256sum" prints, with the files in
 * the order of reading.
 *
 * While http{} is read the files around it are not at their end yet, and what
 * nginx keeps of them isn't either.  So they are only noted down then, and a
 * worker makes the hash.
 */


#include "ngx_armoriq.h"


static void ngx_armoriq_digest_restore(void *data);
static ngx_int_t ngx_armoriq_digest_keep(ngx_conf_t *cf, ngx_array_t *files,
    ngx_str_t *name);
static ngx_buf_t *ngx_armoriq_digest_find(ngx_conf_t *cf, ngx_str_t *name);
static ngx_buf_t *ngx_armoriq_digest_open(ngx_conf_t *cf, ngx_str_t *name);
static ngx_buf_t *ngx_armoriq_digest_read(ngx_conf_t *cf, ngx_file_t *file);
static aiq_rc_t ngx_armoriq_digest_line(aiq_digest_t *d, aiq_crypto_t *c,
    ngx_conf_dump_t *file);


#define ngx_armoriq_digest_same(a, b)                                         \
    ((a)->len == (b)->len && ngx_memcmp((a)->data, (b)->data, (a)->len) == 0)


/* nginx keeps what it reads if it is to print it: from here on it does */

ngx_int_t
ngx_armoriq_digest_begin(ngx_conf_t *cf)
{
    ngx_str_t                *name;
    ngx_array_t              *files;
    ngx_pool_cleanup_t       *cln;
    ngx_armoriq_main_conf_t  *amcf;

    if (ngx_test_config) {
        return NGX_OK;
    }

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_armoriq_module);

    files = ngx_array_create(cf->pool, 8, sizeof(ngx_conf_dump_t));
    cln = ngx_pool_cleanup_add(cf->temp_pool, sizeof(ngx_uint_t));

    if (files == NULL || cln == NULL) {
        return NGX_ERROR;
    }

    /* that pool goes when all is read, or when something is wrong with it */

    *(ngx_uint_t *) cln->data = ngx_dump_config;
    cln->handler = ngx_armoriq_digest_restore;

    if (ngx_armoriq_digest_keep(cf, files, &cf->cycle->conf_file) != NGX_OK) {
        return NGX_ERROR;
    }

    name = &cf->conf_file->file.name;

    if (!ngx_armoriq_digest_same(name, &cf->cycle->conf_file)
        && ngx_armoriq_digest_keep(cf, files, name) != NGX_OK)
    {
        return NGX_ERROR;
    }

    amcf->files = files;
    amcf->dumped = cf->cycle->config_dump.nelts;

    /*
     * A file is kept once, in some builds from the start.  What was included
     * before http{} and is included again in it belongs to it in all of them.
     */

    ngx_rbtree_init(&cf->cycle->config_dump_rbtree,
                    &cf->cycle->config_dump_sentinel,
                    ngx_str_rbtree_insert_value);

    ngx_dump_config = 1;

    return NGX_OK;
}


static void
ngx_armoriq_digest_restore(void *data)
{
    ngx_dump_config = *(ngx_uint_t *) data;
}


/* the end of http{} */

ngx_int_t
ngx_armoriq_digest_end(ngx_conf_t *cf, ngx_armoriq_main_conf_t *amcf)
{
    ngx_uint_t        i;
    ngx_conf_dump_t  *dump, *file;

    if (amcf->files == NULL) {
        return NGX_OK;
    }

    dump = cf->cycle->config_dump.elts;

    for (i = amcf->dumped; i < cf->cycle->config_dump.nelts; i++) {

        file = ngx_array_push(amcf->files);
        if (file == NULL) {
            return NGX_ERROR;
        }

        *file = dump[i];
    }

    return NGX_OK;
}


/* these were opened before: kept or not, depending on the build */

static ngx_int_t
ngx_armoriq_digest_keep(ngx_conf_t *cf, ngx_array_t *files, ngx_str_t *name)
{
    ngx_buf_t        *b;
    ngx_conf_dump_t  *file;

    b = ngx_armoriq_digest_find(cf, name);

    if (b == NULL) {
        b = ngx_armoriq_digest_open(cf, name);
    }

    file = ngx_array_push(files);

    if (b == NULL || file == NULL) {
        return NGX_ERROR;
    }

    file->name = *name;
    file->buffer = b;

    return NGX_OK;
}


static ngx_buf_t *
ngx_armoriq_digest_find(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_uint_t        i;
    ngx_conf_dump_t  *dump;

    dump = cf->cycle->config_dump.elts;

    for (i = 0; i < cf->cycle->config_dump.nelts; i++) {

        if (ngx_armoriq_digest_same(&dump[i].name, name)) {
            return dump[i].buffer;
        }
    }

    return NULL;
}


static ngx_buf_t *
ngx_armoriq_digest_open(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_buf_t   *b;
    ngx_file_t   file;

    /* the one that is being read is open, whatever has its name by now */

    if (ngx_armoriq_digest_same(&cf->conf_file->file.name, name)) {
        file = cf->conf_file->file;

        return ngx_armoriq_digest_read(cf, &file);
    }

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
        b = ngx_armoriq_digest_read(cf, &file);
    }

    (void) ngx_close_file(file.fd);

    return b;
}


static ngx_buf_t *
ngx_armoriq_digest_read(ngx_conf_t *cf, ngx_file_t *file)
{
    size_t      size;
    ssize_t     n;
    ngx_buf_t  *b;

    size = (size_t) ngx_file_size(&file->info);

    b = ngx_create_temp_buf(cf->pool, size + 1);
    if (b == NULL) {
        return NULL;
    }

    n = ngx_read_file(file, b->last, size, 0);

    if (n != (ssize_t) size) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" cannot be read",
                           &file->name);
        return NULL;
    }

    b->last += n;

    return b;
}


/* in a worker: by now all that was noted down is complete */

ngx_int_t
ngx_armoriq_digest(ngx_armoriq_worker_t *w)
{
    aiq_rc_t          rc;
    ngx_uint_t        i;
    aiq_digest_t     *d;
    ngx_conf_dump_t  *file;

    d = aiq_digest_new(w->crypto);

    if (d == NULL) {
        return NGX_ERROR;
    }

    rc = AIQ_OK;
    file = w->conf->files->elts;

    for (i = 0; rc == AIQ_OK && i < w->conf->files->nelts; i++) {
        rc = ngx_armoriq_digest_line(d, w->crypto, &file[i]);
    }

    if (rc == AIQ_OK) {
        rc = aiq_digest_end(d, w->conf->digest);
    }

    aiq_digest_free(d);

    return (rc == AIQ_OK) ? NGX_OK : NGX_ERROR;
}


/* a line as sha256sum prints it */

static aiq_rc_t
ngx_armoriq_digest_line(aiq_digest_t *d, aiq_crypto_t *c,
    ngx_conf_dump_t *file)
{
    u_char      front[2 * AIQ_HASH_LEN + 2];
    aiq_rc_t    rc;
    aiq_str_t   text;
    aiq_out_t   out;
    aiq_hash_t  hash;

    text.data = file->buffer->pos;
    text.len = file->buffer->last - file->buffer->pos;

    rc = aiq_sha256(c, text, hash);

    aiq_out_init(&out, front, sizeof(front));
    aiq_out_hex(&out, hash, AIQ_HASH_LEN);
    aiq_out_str(&out, "  ");

    if (rc == AIQ_OK) {
        rc = aiq_digest_add(d, aiq_out_done(&out));
    }

    if (rc == AIQ_OK) {
        rc = aiq_digest_add(d, ngx_armoriq_str(file->name));
    }

    if (rc == AIQ_OK) {
        rc = aiq_digest_add(d, aiq_cstr("\n"));
    }

    return rc;
}
