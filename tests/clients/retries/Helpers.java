// What a JDBC driver does with each error, in its settings that repeat or reconnect. README.md here has the contract.

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.Driver;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Enumeration;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public class Helpers {
    /** A driver's URL: a helper. */
    record Helper(String name, String retries, String url) {}

    record Case(String name, boolean transaction, List<String> before) {}


    static String request;
    static int runs;

    /** The request is flat enough to be read without a library. */
    static String field(String json, String name) {
        Matcher matcher = Pattern.compile("\"" + name + "\":(?:\"([^\"]*)\"|(\\w+))").matcher(json);
        if (!matcher.find()) throw new IllegalArgumentException("the request has no " + name);
        return matcher.group(1) != null ? matcher.group(1) : matcher.group(2);
    }

    static List<String> strings(String json, String name) {
        Matcher list = Pattern.compile("\"" + name + "\":\\[([^\\]]*)\\]").matcher(json);
        List<String> found = new ArrayList<>();
        if (!list.find()) return found;
        Matcher one = Pattern.compile("\"([^\"]*)\"").matcher(list.group(1));
        while (one.find()) found.add(one.group(1));
        return found;
    }

    static List<Case> cases() {
        List<Case> found = new ArrayList<>();
        Matcher matcher = Pattern.compile("\\{\"case\":[^}]*?\"before\":\\[[^\\]]*\\]\\}").matcher(request);
        while (matcher.find()) {
            String json = matcher.group();
            found.add(new Case(field(json, "case"), field(json, "transaction").equals("true"), strings(json, "before")));
        }
        return found;
    }

    static List<Helper> helpers(Driver driver) {
        String host = field(request, "host") + ":" + field(request, "port");
        String end = "/" + field(request, "database") + "?user=" + field(request, "user") + "&password=&";
        List<Helper> all = new ArrayList<>();
        if (driver.getClass().getName().startsWith("com.mysql")) {
            String plain = "jdbc:mysql://" + host + end + "sslMode=DISABLED&allowPublicKeyRetrieval=true&";
            String twice = host + "," + host;
            String more = "sslMode=DISABLED&allowPublicKeyRetrieval=true&";
            all.add(new Helper("connector-j", "none", plain));
            all.add(new Helper("connector-j.autoReconnect", "none", plain + "autoReconnect=true&maxReconnects=3&"));
            all.add(new Helper("connector-j.failover", "none", "jdbc:mysql://" + twice + end + more + "failOverReadOnly=false&autoReconnect=true&"));
            all.add(new Helper("connector-j.loadbalance", "none", "jdbc:mysql:loadbalance://" + twice + end + more + "retriesAllDown=10&"));
            all.add(new Helper("connector-j.replication", "none", "jdbc:mysql:replication://" + twice + end + more + "retriesAllDown=10&"));
            all.add(new Helper("connector-j.server-prepared", "none", plain + "useServerPrepStmts=true&autoReconnect=true&"));
            all.add(new Helper("connector-j.by-state", "transactions", plain));
        } else {
            String plain = "jdbc:mariadb://" + host + end;
            String twice = host + "," + host;
            all.add(new Helper("mariadb-java", "none", plain));
            all.add(new Helper("mariadb-java.autoReconnect", "none", plain + "autoReconnect=true&"));
            all.add(new Helper("mariadb-java.sequential", "none", "jdbc:mariadb:sequential://" + twice + end + "autoReconnect=true&retriesAllDown=10&"));
            all.add(new Helper("mariadb-java.loadbalance", "none", "jdbc:mariadb:loadbalance://" + twice + end + "autoReconnect=true&retriesAllDown=10&"));
            if (driver.getMajorVersion() > 2)
                all.add(new Helper("mariadb-java.transactionReplay", "none", "jdbc:mariadb:sequential://" + twice + end + "transactionReplay=true&retriesAllDown=10&"));
            all.add(new Helper("mariadb-java.by-state", "transactions", plain));
        }
        return all;
    }

    static void work(Helper helper, Case one, String marker) throws SQLException {
        try (Connection connection = DriverManager.getConnection(helper.url)) {
            int attempts = helper.retries.equals("transactions") ? 3 : 1;
            for (int attempt = 1; ; attempt++) {
                try {
                    attempt(connection, one, marker);
                    return;
                } catch (SQLException error) {
                    // The recipe of docs/retries.md.
                    if (attempt == attempts || !"40001".equals(error.getSQLState())) throw error;
                    connection.rollback();
                }
            }
        }
    }

    static void attempt(Connection connection, Case one, String marker) throws SQLException {
        runs++;
        connection.setAutoCommit(!one.transaction);
        try (Statement statement = connection.createStatement()) {
            for (String sql : one.before) statement.executeQuery(sql.replace("{marker}", marker)).close();
        }
        try (PreparedStatement statement = connection.prepareStatement("INSERT INTO work (marker) VALUES (?)")) {
            statement.setString(1, marker);
            statement.executeUpdate();
        }
        if (one.transaction) connection.commit();
    }

    static String quoted(String text) {
        StringBuilder json = new StringBuilder("\"");
        for (char c : String.valueOf(text).toCharArray()) {
            if (c == '"' || c == '\\') json.append('\\').append(c);
            else if (c < ' ') json.append(' ');
            else json.append(c);
        }
        return json.append('"').toString();
    }

    public static void main(String[] arguments) throws IOException {
        request = new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
        List<String> chosen = strings(request, "helpers");
        for (Enumeration<Driver> drivers = DriverManager.getDrivers(); drivers.hasMoreElements(); ) {
            Driver driver = drivers.nextElement();
            String version = driver.getMajorVersion() + "." + driver.getMinorVersion();
            for (Helper helper : helpers(driver)) {
                // Two versions of one driver may be tried in one run.
                String name = helper.name.replaceFirst("^mariadb-java", "mariadb-java-" + driver.getMajorVersion());
                if (!chosen.isEmpty() && chosen.stream().noneMatch(name::startsWith)) continue;
                for (Case one : cases()) {
                    runs = 0;
                    String error = "null";
                    try {
                        work(helper, one, "retries/" + one.name + "/" + name + "/");
                    } catch (SQLException told) {
                        error = "{\"code\":" + told.getErrorCode() + ",\"class\":" + quoted(told.getClass().getSimpleName())
                            + ",\"message\":" + quoted(told.getMessage()) + "}";
                    }
                    System.out.println("{\"helper\":" + quoted(name) + ",\"version\":" + quoted(version) + ",\"case\":" + quoted(one.name)
                        + ",\"retries\":" + quoted(helper.retries) + ",\"runs\":" + runs + ",\"error\":" + error + "}");
                }
            }
        }
    }
}
