#!/usr/bin/perl

# Guards the examples: every conf-examples/*/nginx.conf is started as it
# stands, but for its paths and ports, after the commands that its comments
# tell to run.  One that does not start teaches the wrong thing.

use strict;
use warnings;

use File::Basename;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use ArmorIQ;


my @examples = sort glob "$FindBin::Bin/../conf-examples/*/nginx.conf";

ok(scalar @examples, 'there are examples');

for my $file (@examples) {
    my $name = basename(dirname($file));

    subtest $name => sub {
        my $t = ArmorIQ->new();

        example($t, $file);
        $t->finish();
    };
}

done_testing();


sub example {
    my ($t, $file) = @_;
    my $dir = $t->dir();

    open my $f, '<', $file or die "$file: $!";
    my $text = do { local $/; <$f> };
    close $f;

    # the same port stays the same port

    my @old = do { my %h; grep { !$h{$_}++ } $text =~ /127\.0\.0\.1:(\d+)/g };
    my %new;

    @new{@old} = ArmorIQ::free_ports(scalar @old);

    my $conf = $text;

    $conf =~ s/127\.0\.0\.1:(\d+)/127.0.0.1:$new{$1}/g;
    $conf =~ s{^load_module\s.*;}{"load_module " . $t->module() . ";"}me;
    $conf =~ s{^pid\s.*;}{}m;
    $conf =~ s{^user\s.*;}{$> == 0 ? 'user root;' : ''}me;
    $conf =~ s{^worker_processes\s.*;}{worker_processes 1;}m;
    $conf =~ s{/var/lib/armoriq}{$t->store()}ge;
    $conf =~ s{/var/log/[\w/]+}{$dir/log}g;
    my $http = "http {\naccess_log $dir/access.log;\n" . $t->temp_paths();

    $conf =~ s/^http \{/$http/m;

    $t->write('nginx.conf', $conf);

    # without a store it must not start, and must say what to run

    my ($code, $out) = $t->check_config();

    isnt($code, 0, 'refused without a store');
    like($out, qr/armoriqctl init/, 'and says what to run');
    like($out, qr/nginx\.conf:\d+|armoriq_store/, 'and where');

    # the commands of the comments

    my $key;

    for ($text =~ /^#\s+armoriqctl (.*)$/mg) {
        my $line = $_;
        my @args = split ' ', $line;

        for (@args) {
            s{/var/lib/armoriq}{$t->store()}ge;
            $_ = dirname($file) . "/$_" if /\.json$/ && !m{/};
        }

        # only root may give it to somebody, and the tests run as one user

        for my $i (reverse 0 .. $#args) {
            splice @args, $i, 2 if $args[$i] eq '--owner';
        }

        push @args, '--store', $t->store() if !grep { $_ eq '--store' } @args;
        push @args, '--json' if $args[0] eq 'init';

        my ($rc, $stdout, $err) = $t->ctl(@args);

        is($rc, 0, "armoriqctl $line") or diag($stdout, $err);
        $key = json_value($stdout)->{api_key} if $args[0] eq 'init' && !$rc;
    }

    ok($key, 'init printed an API key');

    ($code, $out) = $t->check_config();
    is($code, 0, 'nginx -t') or diag($out);

    $t->start();

    my @listen = $conf =~ /^\s*listen\s+127\.0\.0\.1:(\d+)/mg;

    for my $port (@listen) {
        my $r = http_parse(http($port, '/health'));

        is($r->{status}, 200, 'GET /health');
        is(http_parse(http($port, '/health',
                           headers => "X-API-Key: $key\r\n"))->{status},
           200, 'GET /health with the key');
        is(http_parse(http($port, '/health',
                           headers => "X-API-Key: ak_live_x\r\n"))->{status},
           401, 'GET /health with another key');

        my @paths = $conf =~ m{location\s+(?:=\s+)?(/[\w/]+)\s*\{}g;

        for my $path (@paths) {
            $r = http_parse(http($port, $path, body => '{}',
                headers => "Content-Type: application/json\r\n"));

            like($r->{status}, qr/^40[01]$/, "POST $path is refused");
            isnt($r->{why}, '', 'and with a reason');
        }
    }

    ($code, $out) = $t->audit_verify();
    is($code, 0, 'armoriqctl audit verify') or diag($out);
}
