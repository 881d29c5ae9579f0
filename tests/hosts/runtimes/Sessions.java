// SPDX-License-Identifier: Apache-2.0
// The application of README.md for Java's own HTTP server.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.ArrayDeque;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

public class Sessions {
    static final boolean KEEP_ALL = "all".equals(System.getenv("KEEP"));
    static final int SESSION_BYTES = Integer.parseInt(System.getenv().getOrDefault("SESSION_BYTES", "1000"));
    static final ArrayDeque<byte[]> sessions = new ArrayDeque<>();
    static int made = 0;

    static synchronized String create() {
        sessions.add(new byte[SESSION_BYTES]);
        if (!KEEP_ALL && sessions.size() > 100)
            sessions.remove();
        return "session " + ++made + "\n";
    }

    static String route(String path) {
        if (path.equals("/sessions"))
            return create();
        if (path.equals("/search"))
            return IntStream.range(0, 30).mapToObj(i -> "result " + i).collect(Collectors.joining("\n"));
        if (path.equals("/kept"))
            return made + " 0\n";
        return Map.of("path", path, "tags", "a b c").toString();
    }

    static void handle(HttpExchange exchange) throws IOException {
        exchange.getRequestBody().readAllBytes();
        byte[] answer = route(exchange.getRequestURI().getPath()).getBytes();
        exchange.sendResponseHeaders(200, answer.length);
        exchange.getResponseBody().write(answer);
        exchange.close();
    }

    public static void main(String[] arguments) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 64);
        server.createContext("/", Sessions::handle);
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.start();
        System.out.println("listening on " + server.getAddress().getPort());
    }
}
