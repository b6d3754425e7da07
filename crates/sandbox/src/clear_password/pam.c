/* Preloaded into MariaDB: lets its PAM plugin find its service in the sandbox's own directory. PAM itself looks into
   /etc/pam.d only, which is root's. pam_start_confdir(3): Linux-PAM 1.4. */

int pam_start_confdir(const char *service, const char *user, const void *conversation, const char *directory,
                      void **handle);

int pam_start(const char *service, const char *user, const void *conversation, void **handle) {
    return pam_start_confdir(service, user, conversation, DIRECTORY, handle);
}
