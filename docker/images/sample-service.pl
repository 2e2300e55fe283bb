#!/usr/bin/perl
# A stand-in for one service of Nova: it listens, answers health checks, and does nothing else. What it is to be called
# and where it listens stand in NAME and PORT.
#
#   sample-service          serves until SIGTERM
#   sample-service check    asks the one that serves here whether it is healthy
#
# To make it unhealthy: touch /tmp/unhealthy in the container; to let it crash: GET /crash.
use strict;
use warnings;
use IO::Socket::INET;

my $name = $ENV{NAME} // 'sample';
my $port = $ENV{PORT} // 8000;
my $unhealthy = '/tmp/unhealthy';

if (@ARGV && $ARGV[0] eq 'check') {
    my $peer = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 2) or exit 1;
    print {$peer} "GET /health/live HTTP/1.0\r\n\r\n";
    exit(((<$peer> // '') =~ / 200 /) ? 0 : 1);
}

$| = 1;
$SIG{TERM} = $SIG{INT} = sub { print "$name: stopping\n"; exit 0 };
$SIG{PIPE} = 'IGNORE';
my $server = IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => $port, Listen => 16, ReuseAddr => 1)
    or die "$name: cannot listen on port $port: $!\n";
print "$name: a stand-in, listening on port $port\n";

while (1) {
    my $client = $server->accept or next;
    # One client that says nothing must not keep the others waiting.
    my $request = eval {
        local $SIG{ALRM} = sub { die "too slow\n" };
        alarm 2;
        my $line = <$client>;
        while (defined(my $header = <$client>)) { last if $header =~ /^\r?\n/ }
        alarm 0;
        $line;
    } // '';
    alarm 0;
    my ($path) = $request =~ m{^[A-Z]+ (\S+)};
    $path //= '/';
    if ($path eq '/crash') { die "$name: crashed, as it was asked to\n" }
    my ($status, $body) = ('200 OK', qq({"service":"$name","stand_in":true}));
    if ($path =~ m{^/health/(?:live|ready)$}) {
        $body = qq({"status":"ok","service":"$name","stand_in":true});
        ($status, $body) = ('503 Service Unavailable', qq({"status":"degraded","service":"$name"})) if -e $unhealthy;
    } elsif ($path eq '/health/inflight') {
        $body = '{"local_inflight":0}';
    } elsif ($path ne '/') {
        ($status, $body) = ('404 Not Found', qq({"detail":"$name is a stand-in and has nothing there"}));
    }
    print {$client} "HTTP/1.0 $status\r\nContent-Type: application/json\r\nContent-Length: ", length($body),
        "\r\nConnection: close\r\n\r\n$body";
    close $client;
}
