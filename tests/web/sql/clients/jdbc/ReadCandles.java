import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Calendar;
import java.util.Properties;
import java.util.TimeZone;

/** Reads candles with ClickHouse's JDBC driver and prints what it read, a line each. */
public class ReadCandles {
    private static final String CANDLES =
        "SELECT window_start, close, trade_count, symbol FROM ohlcv_1m"
        + " WHERE exchange = ? ORDER BY window_start";

    public static void main(String[] arguments) throws SQLException {
        String address = "jdbc:clickhouse://" + arguments[0] + "/default";
        for (String how : new String[] {"", "compress=0", "client.use_http_compression=true"}) {
            Properties properties = new Properties();
            properties.setProperty("user", "default");
            String url = how.isEmpty() ? address : address + "?" + how;
            try (Connection connection = DriverManager.getConnection(url, properties)) {
                System.out.println("way\t" + how);
                readCandles(connection);
                if (how.isEmpty()) {
                    readRest(connection);
                }
            }
        }
    }

    private static void readCandles(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(CANDLES)) {
            statement.setString(1, "binance");
            try (ResultSet rows = statement.executeQuery()) {
                while (rows.next()) {
                    BigDecimal close = rows.getBigDecimal("close");
                    Calendar utc = Calendar.getInstance(TimeZone.getTimeZone("UTC"));
                    long start = rows.getTimestamp(1, utc).toInstant().getEpochSecond();
                    System.out.println("candle\t" + start + "\t"
                        + close.stripTrailingZeros().toPlainString()
                        + "\t" + rows.getLong(3) + "\t" + rows.getString(4));
                }
            }
        }
    }

    private static void readRest(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            try (ResultSet row = statement.executeQuery("SELECT timezone(), version()")) {
                row.next();
                System.out.println("zone\t" + row.getString(1));
                System.out.println("version\t" + row.getString(2) + "\t"
                    + connection.getMetaData().getDatabaseProductVersion());
            }
            try (ResultSet tables = connection.getMetaData()
                    .getTables(null, null, "ohlcv_1m", null)) {
                while (tables.next()) {
                    System.out.println("table\t" + tables.getString("TABLE_NAME"));
                }
            }
            try (ResultSet none = statement.executeQuery("SELECT 1 WHERE 0")) {
                System.out.println("empty\t" + !none.next());
            }
            printError(statement, "SELECT nothing FROM ohlcv_1m");
            printError(statement, "INSERT INTO watermarks (exchange) VALUES ('x')");
        }
    }

    private static void printError(Statement statement, String query) throws SQLException {
        try {
            statement.execute(query);
            System.out.println("done\t" + query);
        } catch (SQLException error) {
            String text = error.getMessage().replaceAll("\\s+", " ");
            System.out.println("error\t" + error.getErrorCode() + "\t" + text);
        }
    }
}
