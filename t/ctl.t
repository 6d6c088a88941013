#!/usr/bin/perl

# armoriqctl from end to end: a store in a temporary directory, every command,
# exit codes, what must not be printed, and what must not be left behind.

use strict;
use warnings;

use Cwd qw/abs_path/;
use Fcntl;
use File::Temp qw/tempdir/;
use FindBin;
use JSON::PP ();
use POSIX ();
use Test::More;
use Time::HiRes qw/sleep/;

my $top = abs_path("$FindBin::Bin/..");
my $ctl = $ENV{ARMORIQCTL} || "$top/build/armoriqctl";
my $vectors = ($ENV{ARMORIQ_VECTORS} || "$top/../shared/vectors")
              . '/plan/vectors.json';

die "$ctl is missing, run: make cli\n" if !-x $ctl;

# nobody else may write to the directory above a store, so not /tmp itself

my $dir = tempdir('armoriq-ctl-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $store = "$dir/store";
my $json = JSON::PP->new->canonical->utf8->allow_nonref;

my @s = ('--store', $store);
my @o = (@s, '--org', 'acme');
my ($out, $err);


sub run {
    my ($args, %o) = @_;
    my ($in, $o, $e) = map { "$dir/run.$_" } qw/in out err/;

    spew($in, defined $o{in} ? $o{in} : '');

    my $pid = fork;
    die "fork: $!" if !defined $pid;

    if ($pid == 0) {
        open STDIN, '<', $in or POSIX::_exit(126);
        open STDOUT, '>', $o{out} || $o or POSIX::_exit(126);
        open STDERR, '>', $e or POSIX::_exit(126);

        if ($o{uid}) {
            chdir '/';
            POSIX::setgid($o{uid});
            POSIX::setuid($o{uid});
        }

        exec { $ctl } $ctl, @$args or POSIX::_exit(127);
    }

    waitpid $pid, 0;

    my $code = $? & 127 ? 128 + ($? & 127) : $? >> 8;

    $out = $o{out} ? '' : slurp($o);
    $err = slurp($e);

    return $code;
}

sub slurp {
    my ($file) = @_;
    local $/;
    open my $f, '<:raw', $file or die "$file: $!";
    my $text = <$f>;
    return defined $text ? $text : '';
}

sub spew {
    my ($file, $text) = @_;
    open my $f, '>:raw', $file or die "$file: $!";
    print $f $text;
    close $f or die "$file: $!";
    return $file;
}

sub answer {
    my $v = eval { $json->decode($out) };
    return defined $v ? $v : { error => "not JSON: $out$err" };
}

sub ok_run {
    my ($args, $name, %o) = @_;
    my $code = run($args, %o);
    is($code, 0, $name) or diag($out, $err);
    return answer();
}

# the exit code and the sentence

sub no_run {
    my ($args, $code, $like, $name, %o) = @_;

    subtest $name => sub {
        is(run($args, %o), $code, 'exit code');
        like($err, $like, 'sentence');
        is(scalar(my @lines = $err =~ /\n/g), 1, 'one line');
        unlike($err . $out, qr/[\x00-\x08\x0b-\x1f\x7f]/, 'no controls');
    };
}

# a program that says what it was built with

sub nginx {
    my ($with) = @_;
    my $file = spew("$dir/nginx",
                    "#!/bin/sh\necho nginx version: nginx/1.0 $with >&2\n");
    chmod 0755, $file;
    return $file;
}

sub entries {
    my ($d) = @_;
    opendir my $h, $d or return;
    return sort grep { !/^\.\.?$/ } readdir $h;
}


# the command line

is(run([ '--version' ]), 0, '--version');
like($out, qr/^armoriqctl \d+\.\d+\.\d+\n$/, 'version');

is(run([ '--help' ]), 0, '--help');
like($out, qr/^Commands:\n.*^Exit codes:\n/ms, 'help');

my @groups = $out =~ /^    ([a-z]+) +\S.*$/mg;
@groups = grep { !/^(?:armoriqctl)$/ } @groups;

subtest 'every command explains itself' => sub {
    my %seen;

    for my $g (@groups) {
        is(run([ $g, '--help' ]), 0, "$g --help");

        my @verbs = $out =~ /^Commands:\n((?:    .*\n)+)/m
                    ? $1 =~ /^    (\S+)/mg : ('');

        for my $verb (@verbs) {
            my @cmd = ($g, $verb eq '' ? () : $verb);
            $seen{join ' ', @cmd} = 1;

            is(run([ @cmd, '--help' ]), 0, "@cmd --help");
            like($out, qr/^Usage:.*^Example:\n\n    armoriqctl .*^Exit codes:/ms,
                 "@cmd: usage, example, exit codes");
            unlike($out, qr/^.{81}/m, "@cmd: 80 columns");
        }
    }

    for ('init', 'doctor', (map { my $g = $_; map { "$g $_" }
             qw/add list show remove/ } qw/org user agent key mcp policy/),
         'plan hash', 'plan check', 'token issue', 'token inspect',
         'token verify', 'token revoke', 'audit verify', 'audit tail',
         'store check', 'store backup', 'mcp tools')
    {
        ok($seen{$_}, "there is $_");
    }

    my $doc = slurp("$top/docs/armoriqctl.md");

    for (sort keys %seen) {
        ok($doc =~ /\b$_\b/, "docs/armoriqctl.md has $_");
    }
};

no_run([], 2, qr/--help/, 'no command');
no_run([ 'nonsense' ], 2, qr/no command "nonsense"/, 'unknown command');
no_run([ 'key', 'nonsense' ], 2, qr/"key" has no command/, 'unknown verb');
no_run([ 'key' ], 2, qr/needs a command/, 'no verb');
no_run([ 'org', 'list', '--nonsense' ], 2, qr/no option --nonsense/,
       'unknown option');
no_run([ 'org', 'list', '--nonsense=1' ], 2, qr/no option --nonsense,/,
       'unknown option with a value');
no_run([ 'org', 'list', '-x' ], 2, qr/no option -x/, 'unknown letter');
no_run([ 'org', 'list', '--store' ], 2, qr/--store needs a value/,
       'no value');
no_run([ 'org', 'list', '--json=1' ], 2, qr/--json takes no value/,
       'a value for a flag');
no_run([ 'key', 'add', '--org', 'a', '--org', 'b' ], 2, qr/given twice/,
       'an option twice');
no_run([ 'key', 'add' ], 2, qr/needs --org ORG/, 'a required option');
no_run([ 'org', 'add' ], 2, qr/needs NAME/, 'no argument');
no_run([ 'org', 'add', 'a', 'b' ], 2, qr/one argument too many/,
       'too many arguments');
no_run([ 'key', 'add', '--org', 'a', '--expires', '1x' ], 2,
       qr/must be a number/, 'not a number');
no_run([ 'org', 'list', "--x\e[31m\n" ], 2, qr/--x\\u001b\[31m\\u000a/,
       'controls on the command line are escaped');

is(run([ 'nonsense', '--json' ]), 2, 'a failure with --json');
is(answer()->{reason}, 'USAGE', 'is JSON too');


# no secrets on the command line

my $fake_key = 'ak_live_' . '0' x 64;
my $fake_jws = 'eyJhbGciOiJFZERTQSJ9.e30.' . 'A' x 86;

for ([ 'key check', 'key', 'check', $fake_key ],
     [ 'key show', 'key', 'show', '--org', 'acme', $fake_key ],
     [ 'token verify', 'token', 'verify', '--org', 'acme', $fake_jws ],
     [ 'token inspect', 'token', 'inspect', $fake_jws ],
     [ 'token revoke', 'token', 'revoke', '--org', 'acme', $fake_jws ],
     [ 'token issue --key', 'token', 'issue', '--key', $fake_key ],
     [ 'token issue --key=', 'token', 'issue', "--key=$fake_key" ],
     [ 'a command', $fake_jws ])
{
    my ($name, @args) = @$_;

    subtest "$name refuses a secret in argv" => sub {
        is(run([ @s, @args ]), 2, 'exit code');
        unlike($out . $err, qr/ak_live_0|eyJ/, 'and does not repeat it');
    };
}

{
    local $ENV{ARMORIQ_API_KEY} = $fake_key;
    local $ENV{ARMORIQ_TOKEN} = $fake_jws;

    no_run([ 'key', 'check', '-', @s ], 3, qr/no store/,
           'the environment is not looked at');
}


# init

no_run([ 'org', 'list', @s ], 3, qr/armoriqctl init/, 'no store yet');
no_run([ 'init', '--store', "$dir/a/b/c", '--org', 'acme' ], 3,
       qr/cannot make a directory/, 'init where there is no parent');
no_run([ 'init', @s, '--org', 'x' x 65 ], 2, qr/1 to 64 bytes/,
       'the name of an org has a limit');
no_run([ 'init', @s, '--org', "a\nb" ], 2, qr/without controls/,
       'and no controls');

mkdir "$dir/full";
spew("$dir/full/somebody", 'else');

no_run([ 'init', '--store', "$dir/full", '--org', 'acme' ], 1,
       qr/not empty and not a store/, 'init over something else');
no_run([ 'init', @s, '--org', 'acme', '--audit', "$dir/full" ], 1,
       qr/is not empty/, 'init with an audit directory in use');
no_run([ 'init', @s, '--org', 'acme', '--audit', "$dir/no/such" ], 3,
       qr/audit/, 'init with an audit directory nowhere');

is_deeply([ entries($dir) ], [ qw/full run.err run.in run.out/ ],
          'nothing is left behind');
is_deeply([ entries("$dir/full") ], [ 'somebody' ], 'there neither');

SKIP: {
    skip 'not root', 3 if $> != 0;

    chmod 0711, $dir;
    mkdir "$dir/readonly", 0755;
    my $code = run([ 'init', '--store', "$dir/readonly/store",
                     '--org', 'acme' ], uid => 65534);
    skip 'others cannot run the program', 3 if $code == 127 || $code == 126;

    is($code, 3, 'init without permission');
    like($err, qr/cannot make a directory/, 'sentence');
    is_deeply([ entries("$dir/readonly") ], [], 'nothing is left behind');
}

my $made = ok_run([ 'init', @s, '--org', 'acme', '--json' ], 'init');

like($made->{api_key}, qr/^ak_live_[0-9a-f]{64}$/, 'an API key');
like($made->{api_key_id}, qr/^key_[0-9a-f]{12}$/, 'its id');
like($made->{issuer}, qr/^k-[0-9a-f]{8}$/, 'an issuer');
ok($made->{created}, 'a new store');
is($made->{audit}, "$store/audit", 'an audit log');

is_deeply([ entries($store) ], [ qw/audit data.mdb keys lock.mdb store.key/ ],
          'what is in it');
is_deeply([ entries("$store/keys") ],
          [ 'audit.seed', "$made->{issuer}.seed" ], 'the keys');
ok(!grep({ /init/ } entries($dir)), 'no temporary directory');

subtest 'nobody else reads it' => sub {
    for ($store, map { "$store/$_" } 'data.mdb', 'store.key', 'lock.mdb',
         'keys', 'audit', "keys/$made->{issuer}.seed")
    {
        is((stat $_)[2] & 07, 0, $_);
    }
};

subtest 'the seed is nowhere but in its file' => sub {
    my $seed = slurp("$store/keys/$made->{issuer}.seed");
    chomp $seed;
    like($seed, qr/^[0-9a-f]{64}$/, 'a seed');

    my $data = slurp("$store/data.mdb");
    is(index($data, $seed), -1, 'in hex');
    is(index($data, pack 'H*', $seed), -1, 'in bytes');
    is(index($data, $made->{api_key}), -1, 'nor the API key');
    is(index($data, substr $made->{api_key}, 8), -1, 'nor its digits');
};

no_run([ 'init', @s, '--org', 'acme' ], 1, qr/exists already/,
       'init of the same org');

my $second = ok_run([ 'init', @s, '--org', 'umbrella', '--user', 'bob',
                      '--json' ], 'init of another org');
ok(!$second->{created}, 'the store was there');
is(slurp("$store/keys/$made->{issuer}.seed") =~ tr/\n//, 1,
   'the first seed is untouched');

my @seeds = entries("$store/keys");
no_run([ 'init', @s, '--org', 'third', '--audit', "$dir/full" ], 1,
       qr/is not empty/, 'init of an org that fails');
is_deeply([ entries("$store/keys") ], \@seeds, 'leaves no seed');
is(run([ 'org', 'show', 'third', @s ]), 1, 'and no org');

# the last step fails: a directory does not take the place of a link

symlink "$dir/no/such", "$dir/link";
no_run([ 'init', '--store', "$dir/link", '--org', 'acme', '--audit',
         "$dir/elsewhere" ], 3, qr/cannot put the store/,
       'init in the place of a link');
ok(!-e "$dir/elsewhere", 'leaves no audit log');
ok(!grep({ /init-/ } entries($dir)), 'and nothing else');
unlink "$dir/link";

is(run([ 'init', '--store', "$dir/apart", '--org', 'acme', '--audit',
         "$dir/elsewhere" ]), 0, 'init with the audit log elsewhere');
ok(-e "$dir/elsewhere/log.json", 'is there');
is(run([ 'doctor', '--store', "$dir/apart", '--audit', "$dir/elsewhere",
         '--nginx', nginx('--with-compat --with-threads') ]), 0,
   'doctor finds it') or diag($out);

mkdir "$dir/mount", 0750;
mkdir "$dir/mount/lost+found", 0700;

is(run([ 'init', '--store', "$dir/mount/", '--org', 'acme' ]), 0,
   'init in an empty directory') or diag($err);
is_deeply([ entries("$dir/mount") ],
          [ qw/audit data.mdb keys lock.mdb lost+found store.key/ ],
          'the store is in it');
like($out, qr/^API key  ak_live_[0-9a-f]{64}$/m, 'the key for people');
like($out, qr/^    armoriq_store  \Q$dir\E\/mount;$/m, 'lines for nginx');
like($out, qr/^    armoriq_audit  \Q$dir\E\/mount\/audit;$/m, 'audit');
like($out, qr/^    armoriq_zone /m, 'zone');

mkdir "$dir/open";
chmod 0777, "$dir/open";
no_run([ 'init', '--store', "$dir/open", '--org', 'acme' ], 1,
       qr/chmod go-w/, 'init in a directory of everybody');
is_deeply([ entries("$dir/open") ], [], 'nothing is left behind');

SKIP: {
    my ($name) = getpwuid 65534;
    skip 'not root, or nobody is nobody', 3 if $> != 0 || !defined $name;

    is(run([ 'init', '--store', "$dir/owned", '--org', 'acme',
             '--owner', $name ]), 0, 'init --owner') or diag($err);

    my @other = grep { (lstat)[4] != 65534 }
                glob "$dir/owned $dir/owned/* $dir/owned/*/*";
    is_deeply(\@other, [], 'all of it');

    run([ 'org', 'add', 'more', '--store', "$dir/owned" ]);
    @other = grep { (lstat)[4] != 65534 } glob "$dir/owned/keys/*";
    is_deeply(\@other, [], 'and the seeds of later');
}


# orgs

is(ok_run([ 'org', 'add', 'beta', '--default', 'permit', '--json', @s ],
          'org add')->{ok}, JSON::PP::true, 'JSON');
no_run([ 'org', 'add', 'beta', @s ], 1, qr/exists already/, 'twice');
no_run([ 'org', 'add', 'gamma', '--default=maybe', @s ], 2,
       qr/permit or deny/, 'a bad default');

is_deeply([ map { [ @$_{qw/name default/} ] }
            @{ ok_run([ 'org', 'list', '--json', @s ], 'org list')->{orgs} } ],
          [ [ 'acme', 'deny' ], [ 'beta', 'permit' ],
            [ 'umbrella', 'deny' ] ], 'the orgs');

my $org = ok_run([ 'org', 'show', 'acme', '--json', @s ], 'org show');
is($org->{issuer}, $made->{issuer}, 'its issuer');
like($org->{issuers}[0]{public_key}, qr/^[0-9a-f]{64}$/, 'public key');
no_run([ 'org', 'show', 'nobody', @s ], 1, qr/no org "nobody"/, 'no org');

no_run([ 'org', 'remove', 'umbrella', @s ], 1, qr/1 active API key/,
       'an org with keys stays');
is(run([ 'org', 'remove', 'umbrella', '--force', @s ]), 0, 'unless --force');
no_run([ 'key', 'list', @s, '--org', 'umbrella' ], 1, qr/was removed/,
       'it is gone');
is(run([ 'org', 'add', 'umbrella', @s ]), 0, 'and back');
is(ok_run([ 'org', 'show', 'umbrella', '--json', @s ], 'show')->{issuer},
   $second->{issuer}, 'with its key');
is(run([ 'org', 'remove', 'beta', @s ]), 0, 'an org without keys');
no_run([ 'org', 'remove', 'beta', @s ], 1, qr/removed before/, 'twice');


# users, agents, servers

for ([ 'user', 'users', 'id', 'email' ],
     [ 'agent', 'agents', 'id', 'description' ],
     [ 'mcp', 'mcps', 'name', 'description' ])
{
    my ($g, $list, $id, $text) = @$_;

    subtest $g => sub {
        ok_run([ $g, 'add', @o, "--$text", 'a text', 'one', '--json' ],
               'add');
        no_run([ $g, 'add', @o, 'one' ], 1, qr/exists already/, 'twice');

        my $row = ok_run([ $g, 'show', @o, 'one', '--json' ], 'show');
        is($row->{$id}, 'one', 'id');
        is($row->{$text}, 'a text', 'text');
        ok($row->{active}, 'active');

        ok((grep { $_->{$id} eq 'one' }
            @{ ok_run([ $g, 'list', @o, '--json' ], 'list')->{$list} }),
           'listed');

        is(run([ $g, 'remove', @o, 'one' ]), 0, 'remove');
        no_run([ $g, 'remove', @o, 'one' ], 1, qr/no active/, 'twice');
        is(run([ $g, 'show', @o, 'one' ]), 0, 'the row is kept');
        like($out, qr/removed/, 'as removed');
        is(run([ $g, 'add', @o, 'one' ]), 0, 'add again');
        like($out, qr/is back/, 'is back');

        is(ok_run([ $g, 'show', @o, 'one', '--json' ], 'show')->{$text},
           'a text', 'with its text');

        no_run([ $g, 'show', @o, 'nobody' ], 1, qr/there is no $g/, 'none');
        no_run([ $g, 'add', @s, '--org', 'nobody', 'x' ], 1, qr/no org/,
               'no org');
        no_run([ $g, 'add', @o, "a\tb" ], 2, qr/without controls/,
               'a bad name');
    };
}

is(run([ 'user', 'add', @o, "\x{e2}\x{80}\x{ae}evil" ]), 0,
   'a name that turns the line around');
run([ 'user', 'list', @o ]);
like($out, qr/\\u202eevil/, 'is shown as it is');
run([ 'mcp', 'add', @o, $_ ]) for 'infra-mcp', 'sec-mcp';


# keys

is(ok_run([ 'key', 'check', @s, '--json', '-' ], 'key check',
          in => "$made->{api_key}\n")->{id}, $made->{api_key_id},
   'from standard input');

spew("$dir/key", $made->{api_key});
is(ok_run([ 'key', 'check', @s, '--json', "$dir/key" ],
          'key check')->{org}, 'acme', 'from a file');
unlink "$dir/key";

no_run([ 'key', 'check', @s, '-' ], 1, qr/KEY_INVALID/, 'a wrong key',
       in => $fake_key);
no_run([ 'key', 'check', @s, '-' ], 1, qr/KEY_INVALID/, 'a cut key',
       in => substr $made->{api_key}, 0, -1);

is(ok_run([ 'key', 'check', @s, '--json', '-' ], 'key check',
          in => $second->{api_key})->{user}, 'bob',
   '--user of init binds the key');

my $key = ok_run([ 'key', 'add', @o, '--agent', 'sysadmin', '--note', 'n',
                   '--expires', 3600, '--json' ], 'key add');
like($key->{secret}, qr/^ak_live_[0-9a-f]{64}$/, 'the secret, once');
is($key->{agent}, 'sysadmin', 'agent');
is($key->{user}, undef, 'any user');
ok(abs($key->{expires} - time() - 3600) < 60, 'expires');

run([ 'key', 'list', @o ]);
like($out, qr/$key->{id} +active/, 'key list');
unlike($out, qr/ak_live|$key->{secret}/, 'without the secret');
run([ 'key', 'list', @o, '--json' ]);
is(scalar @{ answer()->{keys} }, 2, 'key list --json');
unlike($out, qr/ak_live/, 'without the secret');

is(run([ 'key', 'remove', @o, $key->{id} ]), 0, 'key remove');
no_run([ 'key', 'remove', @o, $key->{id} ], 1, qr/removed before/, 'twice');
no_run([ 'key', 'check', @s, '-' ], 1, qr/KEY_INVALID/, 'is refused',
       in => $key->{secret});
is(ok_run([ 'key', 'show', @o, $key->{id}, '--json' ],
          'key show')->{state}, 'removed', 'the row is kept');
no_run([ 'key', 'show', @s, '--org', 'umbrella', $key->{id} ], 1,
       qr/no key/, 'not in another org');

SKIP: {
    my @pty = pty();
    skip 'no terminals here', 2 if !@pty;

    my ($master, $slave) = @pty;

    spew("$dir/run.err", '');

    my $pid = fork;
    die "fork: $!" if !defined $pid;

    if ($pid == 0) {
        POSIX::setsid();
        open STDIN, '<', $slave or POSIX::_exit(126);
        open STDOUT, '>', "$dir/run.out";
        open STDERR, '>', "$dir/run.err";
        exec { $ctl } $ctl, 'key', 'check', @s, '-' or POSIX::_exit(127);
    }

    # keys that are hit before the question are thrown away

    for (1 .. 100) {
        last if -s "$dir/run.err";
        sleep 0.05;
    }

    syswrite $master, "$made->{api_key}\n";

    local $SIG{ALRM} = sub { kill 'KILL', $pid };
    alarm 20;
    waitpid $pid, 0;
    alarm 0;

    is($? >> 8, 0, 'key check at a terminal') or diag(slurp("$dir/run.err"));

    my $echo = '';
    fcntl $master, F_SETFL, O_NONBLOCK;
    sysread $master, $echo, 4096;
    unlike(defined $echo ? $echo : '', qr/ak_live/, 'without echo');
}

sub pty {
    sysopen my $m, '/dev/ptmx', O_RDWR | O_NOCTTY or return;
    my ($off, $n) = (pack('i', 0), pack('i', 0));
    ioctl $m, 0x40045431, $off or return;                   # TIOCSPTLCK
    ioctl $m, 0x80045430, $n or return;                     # TIOCGPTN
    my $name = '/dev/pts/' . unpack 'i', $n;
    return -e $name ? ($m, $name) : ();
}


# policies

my %policy = (name => 'allow-all', status => 'active', priority => 10,
              target => { type => 'org', id => 'acme' },
              allow => [ 'infra-mcp/*', 'sec-mcp/*' ]);

sub policy {
    return spew("$dir/policy.json", $json->encode({ %policy, @_ }));
}

is(run([ 'policy', 'check', policy() ]), 0, 'policy check') or diag($err);
is(run([ 'policy', 'add', @o, policy() ]), 0, 'policy add') or diag($err);
no_run([ 'policy', 'add', @o, policy() ], 1, qr/--replace/, 'twice');
is(run([ 'policy', 'add', @o, '--replace', '-' ],
       in => $json->encode({ %policy, priority => 20 })), 0, '--replace');

for ([ 'a wrong glob', qr/allow\[1\]/, allow => [ 'a', 7 ] ],
     [ 'a misspelt member', qr/denny/, denny => [ 'x' ] ],
     [ 'a wrong zone', qr/timezone/,
       time_restrictions => { timezone => 'Mars/Olympus' } ],
     [ 'a zone that climbs', qr/timezone/,
       time_restrictions => { timezone => '../../../etc/passwd' } ],
     [ 'a wrong address', qr/ip_whitelist\[0\]/,
       ip_whitelist => [ '192.0.2.0/33' ] ],
     [ 'a wrong priority', qr/priority/, priority => 1000 ])
{
    my ($name, $re, @change) = @$_;
    no_run([ 'policy', 'add', @o, '--replace', policy(@change) ], 1,
           qr/policy\.json: .*$re/, "$name is named, with the file");
}

no_run([ 'policy', 'add', @o, spew("$dir/policy.json", "{\n\n\"a\": tru}") ],
       1, qr/policy\.json: line 3\b/, 'a wrong line is named');
no_run([ 'policy', 'add', @o, spew("$dir/policy.json",
                                   '{"name":"x","name":"y"}') ],
       1, qr/JSON_DUPLICATE_KEY/, 'a key twice');
no_run([ 'policy', 'add', @o, "$dir/nowhere.json" ], 3,
       qr/nowhere\.json: No such file/, 'no file');

is(run([ 'policy', 'add', @o,
         policy(name => 'hours', time_restrictions =>
                { timezone => 'Europe/Berlin', allowed_hours => [ 0 .. 23 ] })
       ]), 0, 'a zone of the system') or diag($err);

my $list = ok_run([ 'policy', 'list', @o, '--json' ], 'policy list');
is_deeply([ map { [ @$_{qw/name priority/} ] } @{ $list->{policies} } ],
          [ [ 'allow-all', 20 ], [ 'hours', 10 ] ], 'the policies');

is(run([ 'policy', 'show', @o, 'allow-all' ]), 0, 'policy show');
is_deeply(answer(), { %policy, priority => 20 }, 'prints the document');
is(ok_run([ 'policy', 'show', @o, 'allow-all', '--json' ],
          'policy show --json')->{policy}{priority}, 20, 'JSON');
is(run([ 'policy', 'remove', @o, 'hours' ]), 0, 'policy remove');
no_run([ 'policy', 'remove', @o, 'hours' ], 1, qr/no policy/, 'twice');
no_run([ 'policy', 'show', @o, 'hours' ], 1, qr/no policy/, 'it is gone');


# plans

my %plan = (goal => 'Restore payments', steps => [
    { mcp => 'infra-mcp', action => 'infra.restart',
      params => { service_id => 'payments' } },
    { mcp => 'infra-mcp', action => 'alerts.resolve',
      params => { id => 7 } },
    { mcp => 'sec-mcp', action => 'security.audit_log' } ]);

my $plan = spew("$dir/plan.json", $json->encode(\%plan));

SKIP: {
    skip "no vectors in $vectors", 1 if !-e $vectors;

    my $v = $json->decode(slurp($vectors));

    subtest 'plan hash equals the vectors' => sub {
        for my $name (sort keys %{ $v->{plans} }) {
            my $p = $v->{plans}{$name};

            # the canonical text, because Perl might write numbers otherwise

            my $text = $p->{canonical_plan};

            if (!defined $text) {
                $name eq 'thousand' or fail("$name has a text"), next;

                $text = '{"goal":"many","steps":['
                        . join(',', map { '{"action":"t","mcp":"m","params":'
                                          . "{\"i\":$_}}" } 0 .. 999)
                        . ']}';
            }

            utf8::encode($text) if utf8::is_utf8($text);

            my $h = ok_run([ 'plan', 'hash', '--json', '-' ], $name,
                           in => $text);

            is($h->{plan_hash}, $p->{plan_hash}, 'plan_hash');
            is($h->{merkle_root}, $p->{plan_hash}, 'merkle_root');

            for (@{ $p->{leaves} }) {
                $h->{leaves}[$_->{i}] eq $_->{hash}
                    or fail("leaf $_->{i}");
            }

            for (@{ $p->{proofs} }) {
                is_deeply($h->{step_proofs}[$_->{step}], $_->{proof},
                          "proof $_->{step}");
            }
        }
    };
}

my $hash = ok_run([ 'plan', 'hash', $plan, '--json' ], 'plan hash');
is($hash->{steps}, 3, 'steps');
is(scalar @{ $hash->{leaves} }, 4, 'leaves');
is(run([ 'plan', 'hash', $plan ]), 0, 'plan hash for people');
like($out, qr/^plan_hash  $hash->{plan_hash}$/m, 'the same hash');
no_run([ 'plan', 'hash', '-' ], 1, qr/action/, 'a plan without an action',
       in => '{"goal":"g","steps":[{"mcp":"m"}]}');
no_run([ 'plan', 'hash', '-' ], 1, qr/PLAN_INVALID/, 'a plan without steps',
       in => '{"goal":"g","steps":[]}');

my @call = ('plan', 'check', $plan, '--mcp', 'infra-mcp', '--action');

is(ok_run([ @call, 'alerts.resolve', '--params', '-', '--json' ],
          'plan check', in => '{"id":7}')->{step}, 1, 'the step');
no_run([ @call, 'alerts.resolve', '--params', '-' ], 1, qr/STEP_PARAMS/,
       'other parameters', in => '{"id":8}');
no_run([ @call, 'rm' ], 1, qr/STEP_NOT_PLANNED/, 'another action');
no_run([ @call, 'security.audit_log' ], 1, qr/STEP_SERVER/,
       'another server');
no_run([ 'plan', 'check', $plan, '--mcp', 'sec-mcp', '--action',
         'security.audit_log', '--strict' ], 1, qr/STEP_UNBOUND/, '--strict');
is(run([ @call, 'alerts.resolve', '--params', '-', '--sdk' ],
       in => '{"id":7,"_iam_context":{}}'), 0, '--sdk');
no_run([ @call, 'alerts.resolve', '--params', '-' ], 1, qr/STEP_PARAMS/,
       'without it every member counts', in => '{"id":7,"_iam_context":{}}');
no_run([ 'plan', 'check', '-', '--mcp', 'a', '--action', 'b', '--params',
         '-' ], 2, qr/only once/, 'standard input twice',
       in => $json->encode(\%plan));


# tokens

my @issue = ('token', 'issue', @o, '--user', 'alice', '--agent', 'sysadmin',
             '--plan', $plan);
my @verify = ('token', 'verify', @o);

is(run([ @issue, '--expires', 300 ]), 0, 'token issue') or diag($err);
like($out, qr/^eyJ[\w-]+\.[\w-]+\.[\w-]{86}\n$/, 'a JWS, and nothing else');
like($err, qr/good until/, 'the rest for people');
my $jws = $out;

my $v = ok_run([ @verify, '-', '--json' ], 'token verify', in => $jws);
is($v->{reason}, 'OK', 'valid');
is($v->{plan_hash}, $hash->{plan_hash}, 'plan_hash');
is($v->{user}, 'alice', 'user');
is($v->{kid}, $made->{issuer}, 'kid');
is($v->{expires_at} - $v->{issued_at}, 300, 'lifetime');

my $pair = ok_run([ @issue, '--format', 'both', '--json' ],
                  'token issue --format both');
like($pair->{jti}, qr/^[0-9a-f]{32}$/, 'jti');

for my $form ('jws', 'iap') {
    my $text = ref $pair->{$form} ? $json->encode($pair->{$form})
                                  : $pair->{$form};
    my $t = ok_run([ @verify, '-', '--json' ], "the $form form",
                   in => $text);
    is($t->{form}, $form, 'form');
    is($t->{jti}, $pair->{jti}, 'the same jti');
}

is(ok_run([ @verify, '--json', spew("$dir/answer.json", $json->encode(
              { success => JSON::PP::true, token => $pair->{iap} })) ],
          'an answer of the API')->{form}, 'iap', 'in a file');

my ($h, $c, $sig) = split /\./, $jws;
chomp $sig;

sub flip { my ($s) = @_; $s =~ s/^(.)/$1 eq 'A' ? 'B' : 'A'/e; return $s }
sub b64 {
    require MIME::Base64;
    my $s = MIME::Base64::encode_base64($_[0], '');
    $s =~ tr{+/=}{-_}d;
    return $s;
}

no_run([ @verify, '-' ], 1, qr/TOKEN_SIGNATURE/, 'a changed signature',
       in => "$h.$c." . flip($sig));
no_run([ @verify, '-' ], 1, qr/TOKEN_SIGNATURE|TOKEN_CLAIMS/,
       'changed claims', in => do {
           require MIME::Base64;
           (my $s = $c) =~ tr{-_}{+/};
           $s = MIME::Base64::decode_base64($s . '=' x (-length($s) % 4));
           $s =~ s/alice/mallo/;
           "$h." . b64($s) . ".$sig";
       });
no_run([ @verify, '-' ], 1, qr/TOKEN_ALGORITHM|TOKEN_HEADER/, 'alg none',
       in => b64('{"alg":"none","typ":"intent+jwt"}') . ".$c.$sig");
no_run([ @verify, '-' ], 1, qr/TOKEN_/, 'alg none, no signature',
       in => b64('{"alg":"none","typ":"intent+jwt"}') . ".$c.");
no_run([ @verify, '-' ], 1, qr/TOKEN_/, 'half a token', in => "$h.$c");
no_run([ @verify, '-' ], 1, qr/TOKEN_MALFORMED/, 'no token', in => "\n");
no_run([ @verify, '-' ], 1, qr/TOKEN_SIGNATURE/, 'a changed IAP object',
       in => $json->encode({ %{ $pair->{iap} },
                             expires_at => $pair->{iap}{expires_at} + 1 }));
no_run([ 'token', 'verify', @s, '--org', 'umbrella', '-' ], 1,
       qr/TOKEN_OWNER/, 'the token of another org', in => $jws);
no_run([ 'token', 'verify', @s, '--org', 'nobody', '-' ], 1,
       qr/no active org/, 'no org', in => $jws);
no_run([ @verify, '--audience', 'else', '-' ], 1, qr/TOKEN_AUDIENCE/,
       'another audience', in => $jws);
no_run([ @verify, '--skew', 61, '-' ], 2, qr/0 to 60/, 'too much skew',
       in => $jws);

is(run([ @issue, '--expires', 1 ]), 0, 'a token for a second');
my $short = $out;
sleep 2.2;
no_run([ @verify, '--skew', 0, '-' ], 1, qr/TOKEN_EXPIRED/, 'expires',
       in => $short);

is(run([ 'token', 'inspect', '-' ], in => "$h.$c." . flip($sig)), 0,
   'token inspect looks at anything');
like($out, qr/^UNVERIFIED/, 'and says what it is worth');
like($out, qr/"alice"/, 'claims');
is(ok_run([ 'token', 'inspect', '--json', '-' ], 'inspect --json',
          in => $jws)->{verified}, JSON::PP::false, 'not verified');
is(answer()->{claims}{jti}, $v->{jti}, 'jti');
is(ok_run([ 'token', 'inspect', '--json', '-' ], 'inspect an IAP object',
          in => $json->encode($pair->{iap}))->{form}, 'iap', 'form');
no_run([ 'token', 'inspect', '-' ], 1, qr/neither/, 'inspect nonsense',
       in => 'nonsense');
is(run([ 'token', 'inspect', '-' ],
       in => b64('{"alg":"none"}') . '.'
             . b64("{\"sub\":\"a\xe2\x80\xae\xc2\x9b31m\"}") . '.x'), 0,
   'inspect a token that paints');
like($out, qr/a\\u202e\\u009b31m/, 'escaped');

no_run([ 'token', 'revoke', @o, 'f' x 32 ], 1, qr/--force/,
       'revoke an unknown token');
is(run([ 'token', 'revoke', @o, $pair->{jti} ]), 0, 'token revoke');
no_run([ 'token', 'revoke', @o, $pair->{jti} ], 1, qr/TOKEN|before/, 'twice');

no_run([ @verify, '-' ], 1, qr/TOKEN_REVOKED/, 'refused as JWS',
       in => $pair->{jws});
no_run([ @verify, '-' ], 1, qr/TOKEN_REVOKED/, 'refused as IAP object',
       in => $json->encode($pair->{iap}));
is(run([ @verify, '-' ], in => $jws), 0, 'the other one is still good');

no_run([ @issue, '--expires', 86401 ], 2, qr/1 to 86400/, 'too long');
no_run([ 'token', 'issue', @o, '--user', 'a', '--agent', 'b', '--plan', '-' ],
       1, qr/MCP_UNKNOWN/, 'a server that is not registered',
       in => '{"goal":"g","steps":[{"mcp":"other","action":"a"}]}');
no_run([ @issue, '--policy', '-' ], 1, qr/deny\[0\]/, 'a wrong token policy',
       in => '{"deny":[7]}');
no_run([ @issue, '--policy', '-' ], 1, qr/POLICY_/,
       'a token policy that forbids a step',
       in => '{"allow":["*"],"deny":["infra-mcp/infra.restart"]}');
is(run([ @issue, '--policy', '-' ], in => '{"allow":["*"],"deny":["x"]}'), 0,
   'a token policy') or diag($err);

no_run([ @issue, '--key', $key->{id} ], 1, qr/no active key/,
       'bound to a key that was removed');
my $bound = ok_run([ @issue, '--key', $made->{api_key_id}, '--json' ],
                   'bound to a key');
is($bound->{steps}, 3, 'steps');

run([ 'user', 'add', @o, 'alice' ]);
run([ 'user', 'remove', @o, 'alice' ]);
no_run([ @verify, '-' ], 1, qr/TOKEN_OWNER/, 'a user who was removed',
       in => $jws);
no_run([ @issue ], 1, qr/TOKEN_OWNER/, 'gets no token either');
run([ 'user', 'add', @o, 'alice' ]);
is(run([ @verify, '-' ], in => $jws), 0, 'until back');

is(run([ 'org', 'rekey', 'acme', @s ]), 0, 'org rekey') or diag($err);
is(run([ @verify, '-' ], in => $jws), 0, 'old tokens stay good');
isnt(ok_run([ @issue, '--json' ], 'issue')->{kid}, $made->{issuer},
     'new ones have the new key');
is(run([ 'org', 'rekey', 'acme', '--retire', @s ]), 0, 'org rekey --retire');
no_run([ @verify, '-' ], 1, qr/TOKEN_KEY/, 'old tokens are refused',
       in => $jws);


# the audit log

my $log = "$store/audit";

is(ok_run([ 'audit', 'verify', $log, '--json' ], 'audit verify')->{reason},
   'OK', 'an empty log');
is(run([ 'audit', 'verify', "$dir/nowhere" ]), 30, 'no log: its own code');
is(run([ 'audit', 'verify' ]), 2, 'usage');
is(run([ 'audit', 'tail', $log ]), 0, 'audit tail of an empty log');
is($out, '', 'nothing');
no_run([ 'audit', 'tail', "$dir/nowhere" ], 3, qr/No such file/,
       'audit tail of no log');

my $fake = "$dir/log";
mkdir $fake;

sub record {
    my ($n) = @_;
    return '{"v":1,"seq":' . $n . ',"prev":"00","t":"INTENT","ts":'
           . '"2026-01-01T00:00:00.000000Z","verdict":"DENY","reason":'
           . '"STEP_USED","tool":"a\u001b[31m' . $n . '"}' . "\n";
}

spew("$fake/seg-0000000000000001.jsonl", join '', map { record($_) } 1 .. 5);
spew("$fake/seg-0000000000000006.jsonl",
     join('', map { record($_) } 6 .. 8) . '{"torn');

is(run([ 'audit', 'tail', $fake, '-n', 5 ]), 0, 'audit tail -n');
is_deeply([ $out =~ /^(\d+)/mg ], [ 4 .. 8 ],
          'over two segments, without the torn record');
like($out, qr/DENY  STEP_USED  tool=a\\u001b\[31m8/, 'for people, escaped');
is(run([ 'audit', 'tail', $fake, '-n3', '--json' ]), 0, 'raw');
is($out, join('', map { record($_) } 6 .. 8), 'as they are stored');
is(run([ 'audit', 'tail', $fake, '--lines=0' ]), 0, 'no lines');
is($out, '', 'none');
is(run([ 'audit', 'tail', $fake, '--lines=100' ]), 0, 'more than there are');
is_deeply([ $out =~ /^(\d+)/mg ], [ 1 .. 8 ], 'all');
isnt(run([ 'audit', 'verify', $fake ]), 0, 'which is not a good log');

{
    spew("$fake/seg-0000000000000006.jsonl", record(6));
    spew("$dir/run.out", '');

    my $pid = fork;
    die "fork: $!" if !defined $pid;

    if ($pid == 0) {
        open STDOUT, '>', "$dir/run.out";
        open STDERR, '>', "$dir/run.err";
        exec { $ctl } $ctl, 'audit', 'tail', $fake, '-n', 1, '-f'
            or POSIX::_exit(127);
    }

    wait_for(qr/^6 /m);

    open my $f, '>>', "$fake/seg-0000000000000006.jsonl";
    syswrite $f, substr record(7), 0, 20;
    sleep 0.4;
    syswrite $f, substr record(7), 20;
    close $f;
    wait_for(qr/^7 /m);

    spew("$fake/seg-0000000000000008.jsonl", record(8));
    wait_for(qr/^8 /m);

    # what is moved away meanwhile is not missed

    rename "$fake/seg-0000000000000008.jsonl", "$fake/old";
    spew("$fake/seg-0000000000000009.jsonl", record(9));
    wait_for(qr/^9 /m);

    kill 'TERM', $pid;
    waitpid $pid, 0;

    is_deeply([ slurp("$dir/run.out") =~ /^(\d+)/mg ], [ 6 .. 9 ],
              'audit tail --follow');
}

sub wait_for {
    my ($re) = @_;

    for (1 .. 100) {
        return if slurp("$dir/run.out") =~ $re;
        sleep 0.05;
    }
}


# the store

my $check = ok_run([ 'store', 'check', @s, '--json' ], 'store check');
ok($check->{rows} > 10, 'rows');

is(run([ 'store', 'backup', @s, "$dir/backup" ]), 0, 'store backup')
    or diag($err);
is_deeply([ entries("$dir/backup") ], [ 'data.mdb' ], 'without keys');
is(run([ 'store', 'backup', @s, "$dir/backup" ]), 3, 'not over another');

{
    # a restore: the copy, and the keys that were kept elsewhere

    my $back = "$dir/restored";
    mkdir $back, 0750;
    mkdir "$back/keys", 0750;

    for ([ "$dir/backup/data.mdb", 'data.mdb' ],
         [ "$store/store.key", 'store.key' ],
         map { [ "$store/keys/$_", "keys/$_" ] } entries("$store/keys"))
    {
        spew("$back/$_->[1]", slurp($_->[0]));
        chmod 0640, "$back/$_->[1]";
    }

    is(ok_run([ 'store', 'check', '--store', $back, '--json' ],
              'a restored store')->{rows}, $check->{rows},
       'has the same rows');

    my $data = slurp("$back/data.mdb");
    my $at = index $data, '"note":"made by armoriqctl init"';
    isnt($at, -1, 'a row in the file');
    substr($data, $at + 8, 4) = 'MADE';
    spew("$back/data.mdb", $data);

    no_run([ 'store', 'check', '--store', $back ], 3, qr/STORE|row|MAC/i,
           'a row that somebody changed');
}

chmod 0660, "$store/data.mdb";
no_run([ 'org', 'list', @s ], 3, qr/chmod/, 'a store that others may write');
chmod 0640, "$store/data.mdb";


# doctor

my $dr = do { run([ 'doctor', @s, '--json' ]); answer() };
my %state = map { $_->{check} => $_->{state} } @{ $dr->{checks} };

is($state{$_}, 'ok', "doctor: $_")
    for 'store', 'rows', 'permissions', 'issuer', 'API keys', 'audit',
        'policies';
ok(exists $state{$_}, "doctor: $_") for 'clock', 'nginx';

my ($kid) = map { $_->{issuer} }
            ok_run([ 'org', 'show', 'acme', '--json', @s ], 'show');
my $seed = "$store/keys/$kid.seed";

rename $seed, "$dir/away";
is(run([ 'doctor', @s ]), 1, 'doctor without a seed');
like($out, qr/^fail  issuer .*rekey/m, 'says so');
rename "$dir/away", $seed;

my $text = slurp($seed);
spew($seed, ($text =~ /^0/ ? '1' : '0') . substr $text, 1);
is(run([ 'doctor', @s ]), 1, 'doctor with another seed');
like($out, qr/^fail  issuer .*not that of the public key/m, 'says so');
spew($seed, $text);

chmod 0644, $seed;
is(run([ 'doctor', @s ]), 1, 'doctor with a seed for everybody');
like($out, qr/^fail  permissions .*chmod 0640/m, 'says what to do');
chmod 0640, $seed;

is(run([ 'doctor', @s, '--nginx', nginx('--with-compat') ]), 1,
   'an nginx without threads');
like($out, qr/^fail  nginx .*--with-threads/m, 'says so');

is(run([ 'doctor', '--store', "$dir/nowhere" ]), 1, 'doctor without a store');
like($out, qr/^fail  .*armoriqctl init/m, 'says what to do');

run([ 'doctor', @s, '--nginx-conf' ]);
like($out, qr/^http \{\n    armoriq_store  \Q$store\E;$/m, '--nginx-conf');


# answers that do not arrive

SKIP: {
    skip 'no /dev/full', 1 if !-c '/dev/full';
    is(run([ 'org', 'list', @s ], out => '/dev/full'), 3,
       'standard output is full');
}

done_testing();
