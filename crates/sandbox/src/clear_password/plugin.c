/* An authentication plugin for MySQL whose accounts log in with mysql_clear_password. The account's authentication
   string is its password.

   The declarations are the part of MySQL's plugin interface that is needed here (plugin interface 1.11,
   authentication interface 2.1: MySQL 8.0 to 9.7, 64 bit). The server refuses to load what is of another version. */

#include <string.h>

struct channel {
    int (*read_packet)(struct channel *, unsigned char **packet);
};

struct login {
    char *user_name;
    unsigned int user_name_length;
    const char *authentication_string;
    unsigned long authentication_string_length;
    char authenticated_as[97];
    char external_user[512];
    int password_used;
};

struct authentication {
    int interface_version;
    const char *client_plugin;
    int (*authenticate)(struct channel *, struct login *);
    int (*generate)(char *out, unsigned int *out_length, const char *in, unsigned int in_length);
    int (*validate)(char *in, unsigned int in_length);
    int (*set_salt)(const char *in, unsigned int in_length, unsigned char *salt, unsigned char *salt_length);
    unsigned long flags;
    void *compare;
};

struct plugin {
    int type;
    void *info;
    const char *name, *author, *description;
    int license;
    void *init, *check_uninstall, *deinit;
    unsigned int version;
    void *status_variables, *system_variables, *reserved;
    unsigned long flags;
};

enum { REFUSED = 0, ADMITTED = -1, PASSWORD_USED = 1, AUTHENTICATION_PLUGIN = 7, LICENSE_BSD = 2 };

static int authenticate(struct channel *channel, struct login *login) {
    unsigned char *packet;
    int length = channel->read_packet(channel, &packet);
    if (length < 0) {
        return REFUSED;
    }
    login->password_used = PASSWORD_USED;
    /* The packet is the password and a NUL. */
    if ((unsigned long)length != login->authentication_string_length + 1 || packet[length - 1] != 0) {
        return REFUSED;
    }
    return memcmp(packet, login->authentication_string, length - 1) == 0 ? ADMITTED : REFUSED;
}

static int generate(char *out, unsigned int *out_length, const char *in, unsigned int in_length) {
    if (in_length > *out_length) {
        return 1;
    }
    memcpy(out, in, in_length);
    *out_length = in_length;
    return 0;
}

static int validate(char *in, unsigned int in_length) {
    (void)in;
    (void)in_length;
    return 0;
}

static int set_salt(const char *in, unsigned int in_length, unsigned char *salt, unsigned char *salt_length) {
    (void)in;
    (void)in_length;
    (void)salt;
    *salt_length = 0;
    return 0;
}

static struct authentication clear = {
    .interface_version = 0x0201,
    .client_plugin = "mysql_clear_password",
    .authenticate = authenticate,
    .generate = generate,
    .validate = validate,
    .set_salt = set_salt,
};

int _mysql_plugin_interface_version_ = 0x010B;
int _mysql_sizeof_struct_st_plugin_ = sizeof(struct plugin);
struct plugin _mysql_plugin_declarations_[] = {
    {
        .type = AUTHENTICATION_PLUGIN,
        .info = &clear,
        .name = "sandbox_clear",
        .author = "Steadfast",
        .description = "mysql_clear_password for tests",
        .license = LICENSE_BSD,
        .version = 0x0100,
    },
    {0},
};
