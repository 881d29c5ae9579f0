<?php
// SPDX-License-Identifier: Apache-2.0
// Answers by its query and body; `child` runs a program, `file` writes and reads one.
$query = $_SERVER['QUERY_STRING'] ?? '';
if ($query === 'child') {
    echo shell_exec('echo from a child');
} elseif ($query === 'file') {
    $path = tempnam('/tmp', 'perfshim-php');
    file_put_contents($path, str_repeat('x', 100000));
    echo strlen(file_get_contents($path));
    unlink($path);
} elseif ($query === 'fail') {
    http_response_code(500);
    echo 'failed';
} else {
    echo 'query ', $query, ' body ', strlen(file_get_contents('php://input')), ' ', md5(str_repeat($query, 1000));
}
