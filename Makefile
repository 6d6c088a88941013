
# The developer's door.  "make" builds the module for the installed nginx
# (or NGINX_SRC), the CLI and the unit tests.

CC       ?= cc
BUILD    ?= build
CFLAGS   ?= -O2 -g
WARN      = -std=c11 -D_GNU_SOURCE -W -Wall -Wextra -Wpointer-arith \
            -Wno-unused-parameter -Werror
SAN       = -fsanitize=address,undefined -fno-sanitize-recover=all \
            -fno-omit-frame-pointer -O1 -g
INC       = -Isrc/core
LIBS      = -ljansson -llmdb -lcrypto -lpthread -lm

# only the CLI speaks to others: neither the module nor the core needs it

CURL_INC := $(shell pkg-config --cflags libcurl 2>/dev/null)
CURL_LIB := $(shell pkg-config --libs libcurl 2>/dev/null || echo -lcurl)

CORE_SRC := $(wildcard src/core/*.c)
CORE_HDR := $(wildcard src/core/*.h)
CTL_SRC  := $(wildcard src/ctl/*.c)
CTL_HDR  := $(wildcard src/ctl/*.h)
UNIT_SRC := $(wildcard t/unit/*.c)
UNIT_HDR := $(wildcard t/unit/*.h)
FUZZ_SRC := $(wildcard t/fuzz/*.c)

CORE_OBJ := $(CORE_SRC:src/core/%.c=$(BUILD)/core/%.o)
CTL_OBJ  := $(CTL_SRC:src/ctl/%.c=$(BUILD)/ctl/%.o)
UNIT_BIN := $(UNIT_SRC:t/unit/%.c=$(BUILD)/unit/%)
FUZZ_BIN := $(FUZZ_SRC:t/fuzz/%.c=$(BUILD)/fuzz/%)

.PHONY: all module cli unit test test-asan bench fuzz install clean

all: module cli unit

module:
	./scripts/build-module $(BUILD)

cli: $(BUILD)/armoriqctl

unit: $(UNIT_BIN)

test: all
	prove -r t

# unit tests under ASAN and UBSAN, nginx tests against an ASAN-built module

test-asan:
	./scripts/test-asan

bench: module cli
	./scripts/bench

# libFuzzer over the committed corpus; FUZZ_TIME seconds a target

FUZZ_TIME ?= 60

fuzz:
	$(MAKE) BUILD=$(BUILD)/fz CC=clang CFLAGS="-O1 -g -fsanitize=fuzzer-no-link,address,undefined" fuzz-bin
	for f in $(FUZZ_SRC:t/fuzz/%.c=%); do \
	    mkdir -p $(BUILD)/fz/corpus/$$f; \
	    $(BUILD)/fz/fuzz/$$f -max_total_time=$(FUZZ_TIME) \
	        -artifact_prefix=$(BUILD)/fz/ $(BUILD)/fz/corpus/$$f \
	        t/fuzz/corpus/$$f || exit 1; \
	done

fuzz-bin: $(FUZZ_BIN)

install: all
	install -d $(DESTDIR)/usr/lib/nginx/modules $(DESTDIR)/usr/bin
	install -m 644 $(BUILD)/ngx_armoriq_module.so \
	    $(DESTDIR)/usr/lib/nginx/modules/
	install -m 755 $(BUILD)/armoriqctl $(DESTDIR)/usr/bin/

clean:
	rm -rf $(BUILD)

$(BUILD)/core/%.o: src/core/%.c $(CORE_HDR)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) $(INC) -c -o $@ $<

$(BUILD)/libarmoriq.a: $(CORE_OBJ)
	rm -f $@
	ar rcs $@ $^

$(BUILD)/ctl/%.o: src/ctl/%.c $(CTL_HDR) $(CORE_HDR)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) $(INC) $(CURL_INC) -c -o $@ $<

$(BUILD)/armoriqctl: $(CTL_OBJ) $(BUILD)/libarmoriq.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) $(CURL_LIB)

$(BUILD)/unit/%: t/unit/%.c $(UNIT_HDR) $(BUILD)/libarmoriq.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) $(INC) -It/unit -o $@ $< \
	    $(BUILD)/libarmoriq.a $(LDFLAGS) $(LIBS)

# parts of the CLI that need nothing else of it

$(BUILD)/unit/ship: t/unit/ship.c $(BUILD)/ctl/ship_format.o $(UNIT_HDR) \
                    $(BUILD)/libarmoriq.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) $(INC) -Isrc/ctl -It/unit -o $@ $< \
	    $(BUILD)/ctl/ship_format.o $(BUILD)/libarmoriq.a $(LDFLAGS) $(LIBS)

$(BUILD)/fuzz/%: t/fuzz/%.c $(UNIT_HDR) $(BUILD)/libarmoriq.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) $(INC) -fsanitize=fuzzer -o $@ $< \
	    $(BUILD)/libarmoriq.a $(LDFLAGS) $(LIBS)
