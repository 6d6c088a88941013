#!/usr/bin/perl

# Guards the hash of the configuration in OPEN and CONFIG: it is that of the
# files, by the formula of docs/audit-format.md, wherever http{} is, whatever
# stands behind it, however nginx was built, and also after a reload that has
# failed.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw/sleep time/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;


my $t = ArmorIQ->new();
my $dir = $t->dir();

$t->init_store();
$t->write('more.conf', "# in http{}, and around it\n");
$t->configure(<<'EOC', workers => 2);
%%ARMORIQ%%
include more.conf;

server {
    listen 127.0.0.1:%%PORT0%%;

    location / { armoriq on; }
}
EOC

my $conf = $t->read('nginx.conf');
my ($main, $http) = $conf =~ /^(.*?)(http \{.*)\z/s;

# nginx reads 4096 bytes at a time

my $filler = "# what nobody reads, behind http{} ..........\n" x 300;

$t->write('nginx.conf', $conf . $filler);
$t->start();
is(config('OPEN', 1), sum('nginx.conf', 'more.conf'),
   'a text behind http{} belongs to the file');

$t->write('nginx.conf', $conf . $filler . "# end\n");
is(reload(1), sum('nginx.conf', 'more.conf'), 'up to its end');

# in a file of its own, with another one around it

$t->write('http.conf', $http . $filler);
$t->write('nginx.conf', $main . "include http.conf;\n" . $filler);
is(reload(2), sum('nginx.conf', 'http.conf', 'more.conf'),
   'http{} in a file of its own');

$t->write('http.conf', $http . $filler . "# another one\n");
is(reload(3), sum('nginx.conf', 'http.conf', 'more.conf'),
   'which changes, and nothing else');

# what fails leaves nothing behind

$t->write('more.conf', "nonsense;\n");

for my $n (1, 2) {
    kill 'HUP', $t->master();
    wait_for(sub { my $log = $t->read('error.log');
                   $n == (() = $log =~ /unknown directive "nonsense"/g) },
             "reload $n fails");
}

$t->write('more.conf', "# once more\n");
$t->write('nginx.conf', $conf . $filler . "# last\n");
is(reload(4), sum('nginx.conf', 'more.conf'), 'after reloads that failed');

# a file that was read before http{}, and is read again in it

$t->write('nginx.conf', $main . "include more.conf;\n$http"
          . "include more.conf;\n");
is(reload(5), sum('nginx.conf', 'more.conf'), 'a file that is read thrice');

$t->write('more.conf', "# changed\n");
is(reload(6), sum('nginx.conf', 'more.conf'), 'and changes');

is(($t->check_config())[0], 0, 'nginx -t');

$t->stop();
is(($t->audit_verify())[0], 0, 'audit verify');
$t->allow_alerts(qr/unknown directive "nonsense"/);
$t->done_testing();


# the hash in the last record of a kind, when there are so many

sub config {
    my ($kind, $n) = @_;
    my @r;

    wait_for(sub { (@r = $t->audit_records($kind)) >= $n }, "$kind $n");
    is(scalar @r, $n, "$n $kind, of two workers");

    return @r ? $r[-1]{config} : undef;
}

sub reload {
    my ($n) = @_;

    $t->reload();

    return config('CONFIG', $n);
}

sub sum {
    my $files = join ' ', map { "'$dir/$_'" } @_;

    return (split / /, qx{sha256sum $files | sha256sum})[0];
}

sub wait_for {
    my ($what, $name) = @_;
    my $end = time() + 10;

    sleep 0.05 while !$what->() && time() < $end;

    ok($what->(), $name);
}
