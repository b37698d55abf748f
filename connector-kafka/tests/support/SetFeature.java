import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.clients.admin.UpdateFeaturesOptions;

/** Sets the level of a feature of a cluster. */
public class SetFeature {
    public static void main(String[] args) throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", args[0]);
        try (Admin admin = Admin.create(config)) {
            FeatureUpdate update = new FeatureUpdate(Short.parseShort(args[2]), FeatureUpdate.UpgradeType.SAFE_DOWNGRADE);
            admin.updateFeatures(Map.of(args[1], update), new UpdateFeaturesOptions()).all().get();
        }
        System.out.println("END");
    }
}
