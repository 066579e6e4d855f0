package bench.peer;

/** The variables that tell a program of the comparison what to do; an empty one is as good as none. */
final class Environment {
  static String text(String name, String otherwise) {
    String value = System.getenv(name);
    return value == null || value.isEmpty() ? otherwise : value;
  }

  static String required(String name) {
    String value = text(name, "");
    if (value.isEmpty()) throw new IllegalArgumentException(name + " is not set");
    return value;
  }

  static long number(String name, long otherwise) {
    return Long.parseLong(text(name, Long.toString(otherwise)));
  }

  private Environment() {}
}
