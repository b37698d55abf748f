import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Prints of every topic its name, how many committed records it has, and the sum of the FNV-1a hashes of their values. */
public class AllTopics {
    public static void main(String[] args) {
        Properties config = new Properties();
        config.put("bootstrap.servers", args[0]);
        config.put("isolation.level", "read_committed");
        config.put("auto.offset.reset", "none");
        TreeMap<String, long[]> found = new TreeMap<>();
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = consumer.listTopics().values().stream().flatMap(List::stream)
                .filter(one -> !one.topic().startsWith("__"))
                .map(one -> new TopicPartition(one.topic(), one.partition())).collect(Collectors.toList());
            partitions.forEach(one -> found.put(one.topic(), new long[2]));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            long until = System.nanoTime() + 60_000_000_000L;
            while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
                if (System.nanoTime() > until) throw new IllegalStateException("the ends were not reached within 60 s");
                consumer.poll(Duration.ofMillis(100)).forEach(record -> {
                    long[] sums = found.get(record.topic());
                    sums[0] += 1;
                    sums[1] += hash(record.value());
                });
            }
        }
        found.forEach((topic, sums) -> System.out.println(topic + " " + sums[0] + " " + Long.toUnsignedString(sums[1])));
        System.out.println("END");
    }

    private static long hash(byte[] value) {
        byte[] bytes = value == null ? "(null)".getBytes(StandardCharsets.UTF_8) : value;
        long hash = 0xcbf29ce484222325L;
        for (byte one : bytes) hash = (hash ^ (one & 0xff)) * 0x100000001b3L;
        return hash;
    }
}
