// SPDX-License-Identifier: Apache-2.0
// The application of README.md for Mono's HttpListener. Its argument is the port.
using System;
using System.Collections.Generic;
using System.Linq;
using System.Net;
using System.Text;
using System.Threading;

class Sessions
{
    static readonly bool KeepAll = Environment.GetEnvironmentVariable("KEEP") == "all";
    static readonly int Bytes = int.Parse(Environment.GetEnvironmentVariable("SESSION_BYTES") ?? "1000");
    static readonly Queue<byte[]> Kept = new Queue<byte[]>();
    static int made;

    static string Create()
    {
        lock (Kept) {
            Kept.Enqueue(new byte[Bytes]);
            if (!KeepAll && Kept.Count > 100)
                Kept.Dequeue();
            return $"session {++made}\n";
        }
    }

    static string Answer(string path)
    {
        switch (path) {
        case "/sessions":
            return Create();
        case "/search":
            return string.Join("\n", Enumerable.Range(1, 30).Select(i => $"result {i}"));
        case "/kept":
            return $"{made} {GC.GetTotalMemory(true)}\n";
        default:
            return string.Join(" ", new Dictionary<string, string> { { "path", path }, { "tags", "a b c" } });
        }
    }

    static void Handle(HttpListenerContext context)
    {
        byte[] text = Encoding.UTF8.GetBytes(Answer(context.Request.Url.AbsolutePath));
        context.Response.ContentLength64 = text.Length;
        context.Response.OutputStream.Write(text, 0, text.Length);
        context.Response.Close();
    }

    static void Main(string[] arguments)
    {
        var listener = new HttpListener();
        listener.Prefixes.Add($"http://127.0.0.1:{arguments[0]}/");
        listener.Start();
        while (true) {
            var context = listener.GetContext();
            ThreadPool.QueueUserWorkItem(_ => Handle(context));
        }
    }
}
