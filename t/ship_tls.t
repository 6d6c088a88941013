#!/usr/bin/perl

# Guards TLS of "armoriqctl audit ship": a log goes to nobody whose certificate
# is not the right one, over no old version of TLS, and over no TLS at all only
# if that was wanted.  The other side is openssl s_server for syslog, and nginx
# in front of a collector for HTTP.

use strict;
use warnings;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";
use ArmorIQ::Ship;

*wait_for = \&ArmorIQ::Ship::wait_for;

my $nginx = $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx';
my $long = 20;

my $l = ArmorIQ::Ship->new();
my ($crt, $key) = $l->certificate('right', 'IP:127.0.0.1');
my ($other_crt, $other_key) = $l->certificate('name', 'DNS:example.com');
my ($foreign) = $l->certificate('foreign', 'IP:127.0.0.1');

$l->append(12);

syslog();
refused_syslog();
client();
https();

done_testing();


# the name is that of the files of a sink: new ones for every try

my $n;

sub sink {
    my ($url, %o) = @_;

    return { name => 'tls' . ++$n, type => 'syslog', url => $url,
             ca_file => $crt, backoff_max => 1, timeout => 5, %o };
}

# whole messages in the bytes that went through

sub messages {
    my ($file) = @_;
    my $buf = ArmorIQ::Ship::slurp($file);
    my @m;

    while ($buf =~ /^([1-9][0-9]*) /) {
        last if length($buf) < length($1) + 1 + $1;

        push @m, substr $buf, length($1) + 1, $1;
        substr($buf, 0, length($1) + 1 + $1) = '';
    }

    return @m;
}

sub syslog {
    my $tls = $l->tls_sink('syslog', $crt, $key);
    my $sink = sink("tls://127.0.0.1:$tls->{port}");

    # a libcurl that is asked to would write the keys of the session there

    my $keys = $l->dir() . '/keys.log';
    local $ENV{SSLKEYLOGFILE} = $keys;

    my ($code, $said) = $l->ship([ $sink ], '--once');

    ok(!-e $keys, 'syslog: no keys of TLS are written');
    is($code, 0, 'syslog: delivered') or diag($said);
    ok(wait_for(sub { messages($tls->{file}) == 12 }, $long),
       'syslog: every record');

    my @m = messages($tls->{file});

    is_deeply([ map { / seq="(\d+)"/ } @m ], [ 1 .. 12 ], 'syslog: in order');
    is_deeply([ map { /\] \xef\xbb\xbf(.*)\z/s } @m ],
              [ map { $l->line($_) } 1 .. 12 ], 'syslog: as they are');

    # and when it is following

    $l->start([ $sink ]);
    $l->append(3);
    ok(wait_for(sub { messages($tls->{file}) == 15 }, $long),
       'syslog: and those that come');

    # larger than what a socket holds, and than a record of TLS

    $l->append(60, pad => 20000);
    ok(wait_for(sub { messages($tls->{file}) == 75 }, $long),
       'syslog: large ones');

    my ($code2) = $l->stop();
    is($code2, 0, 'syslog: ends in peace');
    is((messages($tls->{file}))[-1] =~ /\] \xef\xbb\xbf(.*)\z/s ? $1 : '',
       $l->line(75), 'syslog: the last one is whole');
}

sub refused {
    my ($name, $tls, $sink, $like) = @_;

    my ($code, $said) = $l->ship([ $sink ], '--once');

    is($code, 1, "$name: not delivered");
    like($said, $like, "$name: and it says why");
    is(ArmorIQ::Ship::slurp($tls->{file}), '', "$name: nothing went through");
    is($l->cursor($sink->{name}), undef, "$name: the cursor stays");
}

sub refused_syslog {
    my $tls = $l->tls_sink('refused', $crt, $key);
    my $url = "tls://127.0.0.1:$tls->{port}";
    my $wrong = qr/configuration is wrong.*(?:SSL|certificate)/s;

    refused('another CA', $tls, sink($url, ca_file => $foreign), $wrong);

    # the certificates of the system do not count beside a CA that is named,
    # and without one nobody here is known to them

    my $none = sink($url);
    delete $none->{ca_file};
    refused('no CA', $tls, $none, $wrong);

    refused('a CA that is not there', $tls,
            sink($url, ca_file => '/nonexistent'), qr/not delivered/);

    my $named = $l->tls_sink('named', $other_crt, $other_key);
    refused('another name', $named,
            sink("tls://127.0.0.1:$named->{port}", ca_file => $other_crt),
            $wrong);

    # an OpenSSL that would go along with it

    local $ENV{OPENSSL_CONF} = ArmorIQ::Ship::spew($l->dir() . '/old.cnf',
                                                   <<'EOF');
openssl_conf = init

[init]
ssl_conf = ssl

[ssl]
system_default = old

[old]
MinProtocol = TLSv1
CipherString = DEFAULT:@SECLEVEL=0
EOF

    my $old = $l->tls_sink('old', $crt, $key, '-tls1_1', '-cipher',
                           'DEFAULT:@SECLEVEL=0');
    refused('TLS 1.1', $old, sink("tls://127.0.0.1:$old->{port}"),
            qr/not delivered/);

    my $new = $l->tls_sink('new', $crt, $key, '-tls1_2');
    my ($code) = $l->ship([ sink("tls://127.0.0.1:$new->{port}") ], '--once');
    is($code, 0, 'TLS 1.2: delivered');
}

# RFC 5425 5.1: both sides can be asked for a certificate

sub client {
    my ($mine, $my_key) = $l->certificate('mine', 'DNS:proxy-1');

    my $tls = $l->tls_sink('mutual', $crt, $key, '-Verify', '1',
                           '-verify_return_error', '-CAfile', $mine,
                           '-tls1_2');
    my $url = "tls://127.0.0.1:$tls->{port}";

    refused('without a certificate', $tls, sink($url), qr/not delivered/);

    my ($code, $said) = $l->ship([ sink($url, cert_file => $mine,
                                        key_file => $my_key) ], '--once');
    is($code, 0, 'with a certificate: delivered') or diag($said);
    ok(wait_for(sub { messages($tls->{file}) == 75 }, $long),
       'with a certificate: every record');
}

sub https {
  SKIP: {
    skip "no nginx at $nginx", 5 if !-x $nginx;

    my $http = $l->http_sink('hook');
    my ($port) = ArmorIQ::free_ports(1);
    my $dir = $l->dir();

    ArmorIQ::Ship::spew("$dir/nginx.conf", <<"EOF2");
pid $dir/nginx.pid;
error_log $dir/error.log;
@{[ $> == 0 ? 'user root;' : '' ]}
events {}
http {
    access_log off;
    client_body_temp_path $dir/t1;
    proxy_temp_path $dir/t2;
    fastcgi_temp_path $dir/t3;
    uwsgi_temp_path $dir/t4;
    scgi_temp_path $dir/t5;
    client_max_body_size 10m;

    server {
        listen 127.0.0.1:$port ssl;
        ssl_certificate $crt;
        ssl_certificate_key $key;
        location / { proxy_pass http://127.0.0.1:$http->{port}; }
    }
}
EOF2

    $l->child(sub {
        open STDERR, '>', "$dir/nginx.out";
        exec $nginx, '-p', "$dir/", '-c', "$dir/nginx.conf", '-e',
            "$dir/error.log", '-g', 'daemon off; master_process off;';
    });

    wait_for(sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                         PeerPort => $port) }, 10);

    my %o = (type => 'webhook', batch_records => 20);
    my $url = "https://127.0.0.1:$port/";

    my ($code, $said) = $l->ship([ sink($url, %o) ], '--once');
    is($code, 0, 'HTTPS: delivered') or diag($said);
    is(scalar(map { split /\n/, $_->{body} } $http->accepted()), 75,
       'HTTPS: every record');

    my $seen = () = $http->requests();

    ($code, $said) = $l->ship([ sink($url, %o, ca_file => $foreign) ],
                              '--once');
    is($code, 1, 'HTTPS, another CA: not delivered');
    like($said, qr/configuration is wrong/, 'HTTPS, another CA: said so');
    is(scalar(() = $http->requests()), $seen,
       'HTTPS, another CA: nothing went through');
  }
}
