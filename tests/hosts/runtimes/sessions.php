<?php
// SPDX-License-Identifier: Apache-2.0
// The application of README.md. As a program it is a server that lives on, as those built on PHP's event loops do: php sessions.php.
// As the script of `php -S` or php-fpm each request begins anew, and nothing can be kept.
ini_set('memory_limit', '-1');
$keepAll = getenv('KEEP') === 'all';
$bytes = (int)(getenv('SESSION_BYTES') ?: 1000);
$sessions = new SplQueue;
$made = 0;

function answer(string $path): string
{
    global $sessions, $made, $keepAll, $bytes;
    switch ($path) {
    case '/sessions':
        $sessions->enqueue(str_repeat('x', $bytes));
        if (!$keepAll && count($sessions) > 100)
            $sessions->dequeue();
        return 'session ' . ++$made . "\n";
    case '/search':
        return implode("\n", array_map(fn($i) => "result $i", range(1, 30)));
    case '/kept':
        return "$made 0\n";
    default:
        return json_encode(['path' => $path, 'tags' => ['a', 'b', 'c']]);
    }
}

if (PHP_SAPI !== 'cli') {
    $text = answer(strtok($_SERVER['REQUEST_URI'], '?'));
    header('Content-Length: ' . strlen($text));
    echo $text;
    return;
}

$listener = stream_socket_server('tcp://127.0.0.1:0');
echo 'listening on ', explode(':', stream_socket_get_name($listener, false))[1], "\n";
$clients = [];
$input = [];
while (true) {
    $ready = [$listener, ...$clients];
    $none = null;
    if (!@stream_select($ready, $none, $none, null))
        continue;
    foreach ($ready as $stream) {
        if ($stream === $listener) {
            $client = stream_socket_accept($listener);
            stream_set_blocking($client, false);
            $clients[(int)$client] = $client;
            $input[(int)$client] = '';
            continue;
        }
        $id = (int)$stream;
        $more = fread($stream, 65536);
        if ($more === false || $more === '') {
            unset($clients[$id], $input[$id]);
            fclose($stream);
            continue;
        }
        $input[$id] .= $more;
        while (($end = strpos($input[$id], "\r\n\r\n")) !== false) {
            $text = answer(explode(' ', $input[$id], 3)[1]);
            $input[$id] = substr($input[$id], $end + 4);
            fwrite($stream, "HTTP/1.1 200 OK\r\nContent-Length: " . strlen($text) . "\r\n\r\n" . $text);
        }
    }
}
